"""A caster, and two frames of two streets that all tests share."""

import pytest

pytest.importorskip("open3d")

from perception.core.errors import RequestError
from perception.synthetic.drive import Frame, Renderer
from perception.synthetic.rays import Caster
from perception.synthetic.rig import kitti_rig
from perception.synthetic.world import make_world
from perception_open3d.caster import load_caster

SEEDS = (3, 4)
NUMBERS = (0, 12)


@pytest.fixture(scope="session")
def caster() -> Caster:
    try:
        return load_caster()
    except RequestError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def renderers(caster: Caster) -> list[Renderer]:
    return [Renderer(make_world(seed, 0, 2.0), kitti_rig(), caster) for seed in SEEDS]


@pytest.fixture(scope="session")
def frames(renderers: list[Renderer]) -> list[Frame]:
    return [renderer(number) for renderer in renderers for number in NUMBERS]
