import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

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
from perception.formats import cvat

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]
HOSTILE = "a&\"<b>'é \n.png"


def test_datumaro_reads_masks_classes_and_attributes(
    tmp_path: Path,
    picture: Picture,
    sample: Sample,
    block: Block,
    target: Target,
    oracle: Callable[[str], ModuleType],
) -> None:
    judge = oracle("datumaro.plugins.data_formats.cvat.base")
    ring = block(10, 5, 20, 15) & ~block(13, 8, 17, 12)
    front = picture(
        [block(1, 2, 5, 4), ring, block(25, 0, 30, 20)], [6, 1, 7], [0, 0, 1], file_name="cam/a.png"
    )
    cvat.write([sample(front)], tmp_path, target, statuses=ACCEPTED)
    (tmp_path / "images/cam").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/cam/a.png"), np.zeros((20, 30, 3), np.uint8))

    source = judge.CvatBase(str(tmp_path / "annotations.xml"))

    (item,) = source
    names = [
        source.categories()[judge.AnnotationType.label][a.label].name for a in item.annotations
    ]
    assert (item.id, names) == ("cam/a", ["car", "person", "car"])
    for row, annotation in enumerate(item.annotations):
        ours = rle.decode_one(front.instances.masks, row)
        np.testing.assert_array_equal(np.asarray(annotation.image, bool), ours)
        attributes = annotation.attributes
        assert attributes["instance_id"] == str(row + 1)
        assert np.float32(attributes["score"]) == front.instances.scores[row]
    assert item.annotations[2].attributes["status"] == "review"


@pytest.mark.slow
@given(hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 3)))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    picture: Picture,
    sample: Sample,
    target: Target,
    owners: np.ndarray,
) -> None:
    front = picture([owners == i for i in (1, 2, 3)], [1, 6, 7], size_hw=(7, 9), file_name=HOSTILE)
    out = tmp_path_factory.getbasetemp() / "cvat"
    summary = cvat.write([sample(front)], out, target, statuses=ACCEPTED)
    (found,) = cvat.read(out)
    rows = [i for i in (0, 1, 2) if (owners == i + 1).any()]
    assert summary.labels == len(rows)
    assert (found.file_name, found.size_hw) == (HOSTILE, (7, 9))
    assert found.objects.instance_ids.tolist() == [i + 1 for i in rows]
    assert found.objects.class_names == tuple(("person", "car", "car")[i] for i in rows)
    np.testing.assert_array_equal(found.objects.scores, front.instances.scores[rows])
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(rle.decode_one(found.objects.masks, place), owners == row + 1)


def test_what_is_for_review_is_in_the_file_and_says_so(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture(
        [block(1, 2, 5, 4), block(10, 5, 20, 15), block(25, 0, 30, 20)], statuses=[0, 1, 2]
    )
    summary = cvat.write([sample(front)], tmp_path, target, statuses=ACCEPTED)
    assert (summary.labels, summary.ignored) == (1, 1)
    assert summary.left_out == (("rejected", 1),)
    (found,) = cvat.read(tmp_path)
    assert found.objects.ignored.tolist() == [False, True]
    assert found.objects.instance_ids.tolist() == [1, 2]
    status = json.loads((tmp_path / "labels.json").read_bytes())[0]["attributes"][2]
    assert (status["input_type"], status["values"]) == ("select", ["accepted", "review"])
    both = ACCEPTED | {Status.REVIEW}  # who counts them as labels has them as labels
    assert cvat.write([sample(front)], tmp_path, target, statuses=both).labels == 2
    assert not next(cvat.read(tmp_path)).objects.ignored.any()


def test_runs_are_row_major_inside_the_box_and_begin_with_zeros(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    # .##      3 columns from x 2, 2 rows from y 1; 1 zero, 3 ones, 2 zeros
    # #..
    bitmap = np.zeros((20, 30), bool)
    bitmap[1, 3:5] = bitmap[2, 2] = True
    full = np.zeros((20, 30), bool)
    full[5:7, 5:7] = True
    cvat.write([sample(picture([bitmap, full]))], tmp_path, target, statuses=ACCEPTED)
    first, second = ElementTree.parse(tmp_path / "annotations.xml").iter("mask")
    place = [first.get(key) for key in ("rle", "left", "top", "width", "height")]
    assert place == ["1, 3, 2", "2", "1", "3", "2"]
    assert second.get("rle") == "0, 4"


def test_the_task_learns_our_attributes_and_an_empty_export_is_whole(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    cvat.write([], tmp_path / "none", target, statuses=ACCEPTED)
    assert list(cvat.read(tmp_path / "none")) == []
    labels = json.loads((tmp_path / "none/labels.json").read_bytes())
    assert [label["name"] for label in labels] == ["person", "car"]
    assert [a["name"] for a in labels[0]["attributes"]] == list(cvat.ATTRIBUTES)
    cvat.write([sample(picture())], tmp_path / "one", target, statuses=ACCEPTED)
    (found,) = cvat.read(tmp_path / "one" / "annotations.xml")
    assert len(found.objects) == 0


def test_a_name_that_xml_cannot_hold_is_refused(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    for name in ("a\x01.png", "a\udc80.png"):
        with pytest.raises(RequestError, match=r"export\.name.*XML cannot hold"):
            cvat.write([sample(picture(file_name=name))], tmp_path, target, statuses=ACCEPTED)
    assert not (tmp_path / "annotations.xml").exists()


def document(
    shapes: str, head: str = "", image: str = 'name="a.png" width="30" height="20"'
) -> str:
    return (
        f'<?xml version="1.0"?>{head}<annotations><version>1.1</version><meta/>'
        f'<image id="0" {image}>{shapes}</image></annotations>'
    )


EDITED = """
<polygon label="bus" source="manual" points="2.0,2.0;12.0,2.0;12.0,6.0;2.0,6.0"/>
<box label="car" source="auto" xtl="20.0" ytl="10.0" xbr="25.0" ybr="12.0">
  <attribute name="instance_id">17</attribute><attribute name="score">0.5</attribute></box>
<polyline label="car" points="0,0;1,1"/><points label="car" points="3,3"/><tag label="car"/>
<unknown/>
"""


def test_what_people_drew_comes_back_as_masks_and_ids_survive(tmp_path: Path) -> None:
    path = tmp_path / "edited.xml"
    path.write_text(document(EDITED))
    (found,) = cvat.read(path)
    assert found.objects.instance_ids.tolist() == [0, 17]
    assert found.objects.class_names == ("bus", "car")
    assert np.isnan(found.objects.scores[0]) and found.objects.scores[1] == 0.5
    assert found.objects.masks.boxes_xyxy.tolist() == [[2, 2, 12, 6], [20, 10, 25, 12]]
    assert found.skipped == (("points", 1), ("polyline", 1), ("tag", 1), ("unknown", 1))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
MASK = '<mask label="car" rle="{}" left="{}" top="0" width="{}" height="2"/>'


@pytest.mark.parametrize(
    "text",
    [
        document('<tag label="&b;"/>', BOMB),
        document('<tag label="x">&a;</tag>', FILE),
        document("", '<!DOCTYPE x SYSTEM "http://example.org/x.dtd">'),
    ],
    ids=["bomb", "file", "address"],
)
def test_row_29_a_file_that_declares_entities_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(RequestError, match=r"xml\.unsafe"):
        list(cvat.read(tmp_path / "x.xml"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<html></html>", "cvat.invalid"),
        ("not xml", "cvat.invalid"),
        (document("")[:-20], "cvat.invalid"),
        (document("", image='name="../a.png" width="3" height="2"'), "path.outside_root"),
        (document("", image='name="a.png" width="99999999" height="2"'), "cvat.invalid"),
        (document("", image='name="a.png" width="-3" height="2"'), "cvat.invalid"),
        ("<annotations><track id='0'><box/></track></annotations>", "cvat.video"),
        (document(MASK.format("0, 4", 0, 3)), "rle.invalid"),  # row 18: the sum is not w * h
        (document(MASK.format("0, -2, 8", 0, 3)), "rle.invalid"),  # row 18: negative
        (document(MASK.format("", 0, 3)), "rle.invalid"),  # row 18: truncated
        (document(MASK.format("0, 6", 28, 3)), "rle.invalid"),  # row 18: outside the picture
        (document('<polygon label="a" points="0,0;nan,1;2,2"/>'), "polygon.invalid"),  # row 19
        (document('<polygon label="a" points="0,0;1e9,1;2,2"/>'), "polygon.invalid"),
        (document('<polygon label="a" points="0,0;1,1;2"/>'), "polygon.invalid"),
        (document('<polygon label="a" points="0,0;1,1"/>'), "polygon.invalid"),
        (document('<polygon label="a" points="0,0;1,1;2,2"/>'), "polygon.invalid"),
        (document('<ellipse label="a" cx="9" cy="9" rx="0" ry="4"/>'), "cvat.invalid"),
        (document('<ellipse label="a" cx="9" cy="9" rx="4" ry="0"/>'), "cvat.invalid"),
        (document('<ellipse label="a" cx="9" cy="9" rx="-4" ry="4"/>'), "cvat.invalid"),
        (
            document('<box label="a"><attribute name="instance_id">-1</attribute></box>'),
            "cvat.invalid",
        ),
    ],
)
def test_hostile_and_broken_files_are_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        list(cvat.read(path))
    assert caught.value.code == code


def test_row_19_a_polygon_that_crosses_itself_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text(document('<polygon label="a" points="0,0;9,9;9,0;0,9"/>'))
    (found,) = cvat.read(tmp_path / "x.xml")
    assert len(found.objects) == 1
