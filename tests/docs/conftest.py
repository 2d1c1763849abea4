"""A small synthetic drive, and a working folder in which what documents say can be done."""

import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of three streets, with truth; made by Open3D."""
    for module in ("open3d", "onnxruntime"):
        pytest.importorskip(module)
    from perception.models.registry import CASTERS
    from perception.synthetic.command import synthesize

    out = tmp_path_factory.mktemp("drives") / "drive"
    caster = pkgutil.resolve_name(CASTERS["open3d"])(threads=0)
    synthesize(out, 3, 1, caster, lambda done, total: None, scene_frames=1)
    return out


@pytest.fixture
def workplace(drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what documents take for granted: `datasets/`, and pictures in `photos/`."""
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    (tmp_path / "photos").symlink_to(drive / "training" / "image_2")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def example(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the drive, with its own boxes and these as masks."""
    from perception import LabelRequest, label

    run = tmp_path_factory.mktemp("runs") / "example"
    label(LabelRequest(f"kitti:{drive}", run, segmenter="boxes", boxes="label_2"))
    return run
