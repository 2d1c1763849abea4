import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.ontology import Target
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import cityscapes
from perception.io.pictures import Pictures

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]
TARGET = Target(
    ids={1: 24, 6: 26, 7: 26, 13: 20}, names={24: "person", 26: "car", 20: "traffic sign"}
)
STEM = "gtFine/train/perception/perception_000000_000000_gtFine_"


def images(root: Path, *pictures: PictureLabels) -> Path:
    for picture in pictures:
        path = root / picture.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.zeros((*picture.size_hw, 3), np.uint8))
    return root


def write(samples: list[SampleLabels], out: Path, target: Target = TARGET) -> object:
    root = images(out.parent / "images", *(p for s in samples for p in s.pictures))
    return cityscapes.write(samples, out, target, statuses=ACCEPTED, pictures=Pictures(root))


def test_cityscapesscripts_read_the_instances_and_paint_the_polygons(
    tmp_path: Path,
    picture: Picture,
    sample: Sample,
    block: Block,
    oracle: Callable[[str], ModuleType],
) -> None:
    to_dict = oracle("cityscapesscripts.evaluation.instances2dict").instances2dict
    painter = oracle("cityscapesscripts.preparation.json2instanceImg")
    size_hw = (60, 80)
    disc = np.hypot(*np.mgrid[-20:40, -20:60]) < 12.5
    ring = np.hypot(*np.mgrid[-40:20, -60:20]) < 10
    ring &= ~(np.hypot(*np.mgrid[-40:20, -60:20]) < 4)
    torn = block(2, 40, 30, 50, size_hw) & ~block(12, 40, 18, 50, size_hw)
    front_of_it = block(12, 35, 18, 55, size_hw)
    bitmaps = [
        front_of_it,
        torn,
        disc,
        ring,
        block(60, 2, 70, 12, size_hw),
        block(0, 0, 3, 3, size_hw),
    ]
    front = picture(
        bitmaps, [1, 6, 6, 7, 6, 13], [0, 0, 0, 0, 1, 0], size_hw=size_hw, file_name="x.png"
    )
    summary = write([sample(front)], tmp_path / "out")
    assert (summary.labels, summary.ignored, summary.left_out) == (5, 1, ())

    png = tmp_path / "out" / f"{STEM}instanceIds.png"
    (found,) = to_dict([str(png)]).values()
    cars = {entry["instID"]: entry["pixelCount"] for entry in found["car"]}
    # torn masks are painted first; 26 is the group: evaluations leave it out
    assert cars == {26: 100, 26000: torn.sum(), 26001: disc.sum(), 26002: ring.sum()}
    assert [entry["instID"] for entry in found["person"]] == [24000]
    assert [entry["pixelCount"] for entry in found["traffic sign"]] == [9]

    values = cv2.imread(str(png), cv2.IMREAD_UNCHANGED)
    annotation = painter.Annotation()
    annotation.fromJsonFile(str(tmp_path / "out" / f"{STEM}polygons.json"))
    # not json2instanceImg: Pillow 13 cannot save what it paints
    painted = np.array(painter.createInstanceImage(annotation, "ids"))
    np.testing.assert_array_equal(painted, values)  # the bridge over the person is painted over


@pytest.mark.slow
@given(hnp.arrays(np.uint8, (12, 15), elements=st.integers(0, 3)))
def test_the_pixels_come_back_whole(
    tmp_path_factory: pytest.TempPathFactory, picture: Picture, sample: Sample, owners: np.ndarray
) -> None:
    front = picture([owners == i for i in (1, 2, 3)], [1, 6, 7], [0, 0, 1], size_hw=(12, 15))
    out = tmp_path_factory.getbasetemp() / "cityscapes" / "out"
    write([sample(front)], out)
    (found,) = cityscapes.read(out)
    for row in (0, 1):
        if not (owners == row + 1).any():
            continue
        (place,) = np.flatnonzero(found.objects.instance_ids == row + 1)
        np.testing.assert_array_equal(
            rle.decode_one(found.objects.masks, int(place)), owners == row + 1
        )
        assert found.objects.scores[place] == front.instances.scores[row]
        assert found.objects.class_names[place] == ("person", "car")[row]
    assert found.objects.ignored.sum() == (owners == 3).any()


def test_own_names_are_kept_and_others_numbered(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block
) -> None:
    names = [
        "leftImg8bit/aachen_000001_000019_leftImg8bit.png",
        "other/aachen_000001_000019_leftImg8bit.png",
        "a_b.jpg",
    ]
    pictures = [picture([block(i, 0, i + 1, 1)], file_name=name) for i, name in enumerate(names)]
    out = tmp_path / "out"
    write([sample(*pictures)], out)
    index = json.loads((out / "index.json").read_bytes())["pictures"]
    assert index == {
        "aachen_000001_000019": names[0],
        "perception_000000_000001": names[1],
        "perception_000000_000002": names[2],
    }
    links = sorted((out / "leftImg8bit/train").rglob("*.png"))
    assert [link.resolve().name for link in links] == [Path(names[i]).name for i in (0, 1, 2)]
    assert [found.file_name for found in cityscapes.read(out)] == names


def test_row_20_more_than_a_thousand_instances_are_refused(
    tmp_path: Path, picture: Picture, sample: Sample
) -> None:
    bitmaps = list(np.eye(1001, dtype=bool)[:, None, :])
    crowd = picture(bitmaps, [6] * 1001, size_hw=(1, 1001), file_name="crowd.png")
    with pytest.raises(RequestError, match=r"id\.overflow: crowd\.png"):
        write([sample(crowd)], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.png"))


def test_classes_that_cityscapes_does_not_have_are_refused(
    tmp_path: Path, picture: Picture, sample: Sample
) -> None:
    with pytest.raises(RequestError, match=r"config\.invalid.*\[34\].*road-to-cityscapes"):
        write([sample(picture())], tmp_path / "out", Target(ids={6: 34}, names={34: "boat"}))


def test_pictures_without_labels_and_no_pictures(
    tmp_path: Path, picture: Picture, sample: Sample
) -> None:
    write([], tmp_path / "none")
    assert list(cityscapes.read(tmp_path / "none")) == []
    write([sample(picture())], tmp_path / "out")
    (found,) = cityscapes.read(tmp_path / "out")
    assert len(found.objects) == 0 and found.size_hw == (20, 30)


@pytest.mark.parametrize(
    ("polygon", "code"),
    [
        ([[0, 0], [1e9, 0], [0, 1]], "polygon.invalid"),
        ([[0, 0], [1, 1]], "polygon.invalid"),
        ([[0, 0], ["a", 1], [2, 2]], "polygon.invalid"),
        (7, "cityscapes.invalid"),
    ],
)
def test_row_19_bad_polygons_are_refused(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, polygon: object, code: str
) -> None:
    write([sample(picture([block(0, 0, 5, 5)]))], tmp_path / "out")
    path = tmp_path / "out" / f"{STEM}polygons.json"
    document = json.loads(path.read_bytes())
    document["objects"][0]["polygon"] = polygon
    path.write_text(json.dumps(document))
    with pytest.raises(RequestError) as caught:
        list(cityscapes.read(tmp_path / "out"))
    assert caught.value.code == code


def test_an_index_that_leads_elsewhere_is_refused(
    tmp_path: Path, picture: Picture, sample: Sample
) -> None:
    write([sample(picture())], tmp_path / "out")
    (tmp_path / "out/index.json").write_text('{"pictures": {"../../etc_000000_000000": "x"}}')
    with pytest.raises(RequestError, match=r"cityscapes\.invalid"):
        list(cityscapes.read(tmp_path / "out"))
    (tmp_path / "out/index.json").unlink()
    with pytest.raises(RequestError, match=r"io\.not_found"):
        list(cityscapes.read(tmp_path / "out"))


def test_polygons_are_painted_groups_first_then_torn_masks_then_whole_ones(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block
) -> None:
    """In the order of the rows, the bridge that joins a torn car would cut the person in two."""
    person = block(12, 2, 16, 16)
    torn = block(4, 6, 26, 12) & ~block(10, 0, 18, 20)
    bitmaps, statuses = [person, torn, block(0, 0, 3, 3)], [0, 0, 1]
    write([sample(picture(bitmaps, [1, 6, 6], statuses))], tmp_path / "out")
    (found,) = cityscapes.read_polygons(tmp_path / "out")
    assert found.objects.instance_ids.tolist() == [3, 2, 1]
    np.testing.assert_array_equal(rle.decode_one(found.objects.masks, 2), person)
