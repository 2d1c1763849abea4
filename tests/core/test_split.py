"""Bugs caught: a recording on both sides, a split that depends on order, an empty side."""

import pytest

from perception.core.split import recording_of, split


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("a.jpg", ""),
        ("day/a.jpg", "day"),
        ("day/images_/a.jpg", "day"),
        ("sequences/03/image_2/000001.png", "sequences/03"),
        ("2011_09_26/drive_0001_sync/image_02/data/0000000005.png", "2011_09_26/drive_0001_sync"),
        ("samples/CAM_FRONT_LEFT/n015-2018-07-24__CAM_FRONT_LEFT__15324.jpg", "n015-2018-07-24"),
        ("leftImg8bit/train/aachen/aachen_000000_000019.png", "train/aachen"),
        ("drive/front_left/0.png", "drive"),
        ("__init__.png", ""),  # nothing before the mark
    ],
)
def test_a_recording_is_named_by_folders_that_are_no_cameras(name: str, recording: str) -> None:
    assert recording_of(name) == recording


def test_a_recording_stands_on_one_side_with_all_its_cameras() -> None:
    names = [f"{d}/image_0{c}/{i:03d}.png" for d in range(10) for c in (2, 3) for i in range(5)]
    found = split(names, 0.2, seed=0)
    assert (found.by, found.groups) == ("recording", 10)
    assert len(found.held_out) == 20 and len(found.trained) == 80
    sides = [{recording_of(name) for name in side} for side in (found.held_out, found.trained)]
    assert not sides[0] & sides[1]
    assert sorted(found.held_out + found.trained) == sorted(names)


def test_names_without_recordings_are_split_by_moment() -> None:
    names = [f"training/image_{camera}/{i:06d}.png" for camera in (2, 3) for i in range(20)]
    found = split(names, 0.25, seed=1)
    assert (found.by, found.groups) == ("moment", 20)
    stems = [{name[-10:] for name in side} for side in (found.held_out, found.trained)]
    assert not stems[0] & stems[1] and len(found.held_out) == 10


def test_a_seed_gives_one_split_whatever_the_order() -> None:
    names = [f"{i}.jpg" for i in range(50)]
    assert split(names, 0.2, 3) == split(reversed(names), 0.2, 3)
    assert split(names, 0.2, 3).held_out != split(names, 0.2, 4).held_out


@pytest.mark.parametrize("sizes", [(1, 1), (50, 50), (1, 99), (99, 1), (100, 100, 3)])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_something_is_on_each_side(sizes: tuple[int, ...], share: float, seed: int) -> None:
    names = [f"{group}/{i}.jpg" for group, size in enumerate(sizes) for i in range(size)]
    found = split(names, share, seed)
    assert found.trained and found.held_out and found.by == "recording"


@pytest.mark.parametrize("names", [(), ("a.jpg",), ("image_02/a.png", "image_03/a.png")])
def test_of_one_moment_nothing_is_held_out(names: tuple[str, ...]) -> None:
    assert split(names, 0.5, 0).held_out == ()
    assert split(names, 0.5, 0).trained == names
