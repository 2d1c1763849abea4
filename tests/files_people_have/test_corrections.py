"""Edited files that come back: nothing that a person did is lost, nothing else is touched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.commands import corrections
from perception.commands.corrections import Terms
from perception.commands.relabel import relabel
from perception.commands.results import read_labels
from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.types import Instances, Status
from perception.runs.folder import read_spec

TRAIN, CAR = (20, 30, 90, 40), (130, 80, 12, 20)  # of the street, x y width height
SHAPE = '<mask label="{}" rle="0, {}" left="{}" top="{}" width="{}" height="{}"/>'


@pytest.fixture
def run(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> Path:
    """A street whose train is label 1 and whose car is label 2."""
    draw_street(tmp_path / "images" / "cam0" / "street.jpg")
    (tmp_path / "boxes.json").write_text(json.dumps(coco(row("train", TRAIN), row("car", CAR))))
    found = label_here(tmp_path / "images", boxes=str(tmp_path / "boxes.json"))
    return Path(found.run)


def row(name: str, box: tuple[float, ...], **more: Any) -> dict[str, Any]:
    x, y, width, height = box
    outline = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {"name": name, "bbox": list(box), "iscrowd": 0, "segmentation": [outline]} | more


def coco(*rows: dict[str, Any], name: str = "cam0/street.jpg", **image: Any) -> dict[str, Any]:
    names = ["train", "car", *{one["name"] for one in rows} - {"train", "car"}]
    picture = {"id": 1, "file_name": name, "width": 160, "height": 120} | image
    return {
        "images": [picture],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": number,
                "image_id": picture["id"],
                "category_id": 1 + names.index(one["name"]),
                **{key: value for key, value in one.items() if key != "name"},
            }
            for number, one in enumerate(rows, 1)
        ],
    }


def cvat(*shapes: str, name: str = "cam0/street.jpg", more: str = "") -> str:
    labels = "".join(f"<label><name>{label}</name></label>" for label in ("train", "car", "bus"))
    return (
        f"<annotations><meta><task><labels>{labels}</labels></task></meta>"
        f'<image id="0" name="{name}" width="160" height="120">{"".join(shapes)}</image>{more}'
        "</annotations>"
    )


def brush(name: str, box: tuple[int, int, int, int]) -> str:
    return SHAPE.format(name, box[2] * box[3], *box)


def runs(box: tuple[int, int, int, int], size_hw: tuple[int, int] = (120, 160)) -> dict[str, Any]:
    bitmap = np.zeros(size_hw, np.uint8)
    bitmap[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 1
    flat = bitmap.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return {"size": list(size_hw), "counts": np.diff([0, *edges, flat.size]).tolist()}


def apply(run: Path, text: object, terms: Terms | None = None) -> corrections.Applied:
    path = run.parent / ("edited.xml" if isinstance(text, str) else "edited.json")
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return corrections.apply(run, path, terms=terms)


def totals(applied: corrections.Applied) -> dict[str, int]:
    """Return what is not 0, over all classes."""
    found = {
        column: sum(counts[column] for counts in applied.by_class.values())
        for column in corrections.COLUMNS
    }
    return {column: count for column, count in found.items() if count}


def instances(run: Path) -> Instances:
    (sample,) = read_labels(run)
    return sample.pictures[0].instances


def mask_of(run: Path, row: int) -> np.ndarray:
    return masks_.decode_one(instances(run).masks, row)


# What became of the train, with the car as it was: what is counted, kept apart, and left as it is.
REPLACED = [
    ('<polyline label="train" points="25,50;80,50"/>', "polyline", "cvat-ai/cvat#4727"),
    ('<points label="train" points="60,50"/>', "points", "points"),
    (
        '<skeleton label="train"><points label="front" points="60,50"/></skeleton>',
        "skeleton",
        "skeleton",
    ),
    (
        '<cuboid label="train" xtl1="20" ytl1="30" xbr1="90" ybr1="70" xtl2="30" ytl2="30" '
        'xbr2="100" ybr2="60"/>',
        "cuboid",
        "cuboid",
    ),
    ('<ellipse label="train" cx="60" cy="50" rx="0" ry="9" rotation="0"/>', "ellipse", "flat"),
    ('<polygon label="train" points="25,50;80,50"/>', "polygon", "two-points"),
    ('<box label="train" xtl="30" ytl="40" xbr="30" ybr="60"/>', "box", "empty-box"),
    ('<mask label="train" rle="0, 9" left="30" top="40" width="5" height="5"/>', "mask", "runs"),
    (
        '<mask label="train" rle="0, 900" left="150" top="40" width="30" height="30"/>',
        "mask",
        "leaves",
    ),
    ('<mask label="train" rle="0, 25" left="30" top="40" width="5" height="5">'
     '<attribute name="instance_id">-3</attribute></mask>', "mask", "id"),
    ('<hologram label="train"/>', "hologram", "kind-of-tomorrow"),
    (brush("cow", TRAIN), "class 'cow'", "unknown-class"),
    (brush("", TRAIN), "class ''", "no-class"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "kind"), [row[:2] for row in REPLACED], ids=[r[2] for r in REPLACED]
)
def test_what_cannot_be_placed_is_kept_apart_and_the_label_there_stays(
    run: Path, shape: str, kind: str
) -> None:
    before = mask_of(run, 0)
    applied = apply(run, cvat(shape, brush("car", CAR)))
    assert totals(applied) == {"untouched": 1, "stays": 1}
    assert applied.apart == {kind: 1} and f"1 {kind}" in "\n".join(applied.lines())
    assert not instances(run).by_human.any() and (mask_of(run, 0) == before).all()
    assert instances(run).statuses.tolist() == [Status.ACCEPTED, Status.ACCEPTED]


@pytest.mark.parametrize(
    "shape",
    [
        '<points label="car" points="135,85"/>',
        '<cuboid label="car" xtl1="130" ytl1="80" xbr1="138" ybr1="100" xtl2="134" ytl2="78" '
        'xbr2="142" ybr2="98"/>',
        '<ellipse label="car" cx="136" cy="90" rx="6" ry="0" rotation="0"/>',
        '<box label="car" xtl="136" ytl="80" xbr="136" ybr="100"/>',
        '<mask label="car" rle="0, 9" left="130" top="80" width="12" height="20"/>',
    ],
    ids=["points", "cuboid", "flat-ellipse", "empty-box", "runs"],
)
def test_a_deletion_far_from_what_was_kept_apart_is_one(run: Path, shape: str) -> None:
    applied = apply(run, cvat(shape), Terms(allow_deletions=True))
    assert applied.by_class["train"]["deleted"] == 1 and applied.by_class["car"]["stays"] == 1
    assert totals(applied) == {"deleted": 1, "stays": 1}


def test_a_tag_is_no_label_and_hides_no_deletion(run: Path) -> None:
    applied = apply(run, cvat('<tag label="night"/>', brush("bus", TRAIN)))
    assert totals(applied) == {"edited": 1, "deleted": 1} and applied.apart == {"tag": 1}


def test_tracks_beside_pictures_may_be_any_label(run: Path) -> None:
    track = '<track id="3" label="car"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>'
    applied = apply(run, cvat(brush("train", TRAIN), more=track))
    assert totals(applied) == {"untouched": 1, "stays": 1} and applied.apart == {"track": 1}


TURNED = '<box label="car" xtl="122" ytl="85" xbr="142" ybr="95" rotation="90.0"/>'
DRAWN = [
    (TURNED, (127, 80, 10, 20), "cvat-ai/cvat#3832-rotated-box"),
    (TURNED.replace("90.0", "0.0"), (122, 85, 20, 10), "box-not-turned"),
    ('<box label="car" xtl="126" ytl="84" xbr="146" ybr="104"/>', (126, 84, 20, 20), "box"),
    (
        '<ellipse label="car" cx="136" cy="90" rx="8" ry="12" rotation="0"/>',
        (128, 78, 16, 24),
        "cvat-ai/cvat#7928-ellipse",
    ),
    (
        '<ellipse label="car" cx="136" cy="90" rx="12" ry="8" rotation="90"/>',
        (128, 78, 16, 24),
        "rotated-ellipse",
    ),
    (
        '<polygon label="car" points="126,84;146,84;146,104;126,104"/>',
        (126, 84, 20, 20),
        "polygon",
    ),
]


@pytest.mark.parametrize(("shape", "bounds"), [row[:2] for row in DRAWN], ids=[r[2] for r in DRAWN])
def test_shapes_with_an_area_become_masks(
    run: Path, shape: str, bounds: tuple[int, int, int, int]
) -> None:
    applied = apply(run, cvat(brush("train", TRAIN), shape))
    assert applied.by_class["train"]["untouched"] == 1 and not applied.apart
    found = instances(run)
    human = np.flatnonzero(found.by_human & (found.statuses == Status.ACCEPTED))
    assert len(human) == 1
    x0, y0, x1, y1 = found.masks.boxes_xyxy[human[0]].tolist()
    np.testing.assert_allclose((x0, y0, x1 - x0, y1 - y0), bounds, atol=1)
    area = masks_.areas(found.masks)[human[0]]
    share = np.pi / 4 if "ellipse" in shape else 1
    np.testing.assert_allclose(area, share * bounds[2] * bounds[3], rtol=0.1)


def test_a_box_turned_by_a_third_covers_what_it_covers(run: Path) -> None:
    shape = '<box label="bus" xtl="40" ytl="85" xbr="80" ybr="95" rotation="30"/>'
    apply(run, cvat(brush("train", TRAIN), brush("car", CAR), shape))
    mask = mask_of(run, 2)  # clockwise: its right end lies lower
    assert mask[99, 75] and mask[81, 45] and not mask[81, 75] and not mask[99, 45]
    np.testing.assert_allclose(mask.sum(), 400, rtol=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {"segmentation": []},
        {"segmentation": None},
        {"segmentation": [], "bbox": ["20", "30", "90", "40"]},
        {"segmentation": [], "iscrowd": "0", "category_id": "1", "image_id": "1", "id": "a"},
        {"segmentation": [[20, 30, 110, 30, 110, 70, 20, 70]]},
        {"segmentation": [20, 30, 110, 30, 110, 70, 20, 70]},
        {"segmentation": [[20.4, 30.3, 109.6, 30.2, 109.5, 69.8, 20.1, 69.9]]},
        {"segmentation": [[20, 30, 110, 30, 110, 70, 20, 70], [5, 5, 5, 5]]},
        {"segmentation": runs(TRAIN)},
        {"segmentation": runs(TRAIN), "iscrowd": 1},
    ],
    ids=[
        "boxes-alone",
        "null",
        "text-numbers",
        "text-ids",
        "polygon",
        "flat-polygon",
        "rounded-polygon",
        "speck",
        "runs",
        "ryouchinsa/Rectlabel-support#241",
    ],
)
def test_what_comes_back_as_it_was_is_nobody_s_decision(run: Path, changes: dict[str, Any]) -> None:
    both = row("train", TRAIN), row("car", CAR)
    if isinstance(changes["segmentation"], dict):  # CVAT writes every mask so, or none
        both = row("train", TRAIN), row("car", CAR, **changes | {"segmentation": runs(CAR)})
    document = coco(*both)
    document["annotations"][0] |= changes
    applied = apply(run, document)
    assert totals(applied) == {"untouched": 2} and not applied.apart
    assert applied.corrections == 0 and not instances(run).by_human.any()


def test_a_crowd_region_is_no_label_where_the_file_tells_them_apart(run: Path) -> None:
    crowd = row("car", (100, 75, 50, 40), segmentation=runs((100, 75, 50, 40)), iscrowd=1)
    whole = row("car", CAR, segmentation=runs(CAR))
    applied = apply(run, coco(row("train", TRAIN), whole, crowd))
    assert totals(applied) == {"untouched": 2} and applied.apart == {"crowd region": 1}


COCO_APART = [
    ({"segmentation": [], "bbox": []}, "box", "CVHub520/X-AnyLabeling#397"),
    ({"segmentation": [], "bbox": [20, 30, 90, 40, 0.3]}, "box", "bbox-with-angle"),
    ({"segmentation": [], "keypoints": [60, 50, 2], "num_keypoints": 1}, "keypoints", "pose"),
    ({"segmentation": {"size": [240, 320], "counts": [76800]}}, "mask", "other-size"),
    ({"segmentation": {"size": [120, 160], "counts": "zz"}}, "mask", "runs-cut"),
    ({"segmentation": [[float("nan")] * 6]}, "polygon", "nan"),
    ({"segmentation": "polygon"}, "mask", "text"),
    ({"category_id": 99}, "class ''", "category-of-nothing"),
]


@pytest.mark.parametrize(
    ("changes", "kind"), [r[:2] for r in COCO_APART], ids=[r[2] for r in COCO_APART]
)
def test_rows_of_coco_that_cannot_be_placed_lose_no_label_and_no_other_row(
    run: Path, changes: dict[str, Any], kind: str
) -> None:
    document = coco(row("train", TRAIN), row("bus", CAR))
    document["annotations"][0] |= changes
    applied = apply(run, document)
    assert totals(applied) == {"edited": 1, "stays": 1}
    assert list(applied.apart.values()) == [1]
    assert kind in applied.apart or kind == "mask"


def test_a_turned_rectangle_in_cvat_s_coco_is_turned(run: Path) -> None:
    box = row("car", (122, 85, 20, 10), segmentation=[], attributes={"rotation": 90.0})
    applied = apply(run, coco(row("train", TRAIN), box))  # cvat-ai/cvat#6785
    human = np.flatnonzero(instances(run).by_human & (instances(run).statuses == 0))
    assert instances(run).masks.boxes_xyxy[human[0]].tolist() == [127, 80, 137, 100]
    assert "1 rectangles are masks now" in "\n".join(applied.lines())


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("street.jpg", {}),
        ("./cam0/street.jpg", {}),
        ("cam0\\street.jpg", {}),
        ("/data/set/cam0/street.jpg", {}),
        ("street_jpg.rf.0a1b2c3d.jpg", {}),
        ("street_jpg.rf.0a1b2c3d.jpg", {"extra": {"name": "cam0/street.jpg"}}),
        ("9f.jpg", {"extra": {"name": "street.jpg"}}),
        ("images/0a1b2c3d-street.jpg", {}),
        ("train/street.jpg", {}),
        ("street.jpg", {"id": "street"}),
        ("street.jpg", {"width": None, "height": None}),
    ],
)
def test_a_picture_is_found_by_its_name_in_other_forms(
    run: Path, name: str, image: dict[str, Any]
) -> None:
    applied = apply(run, coco(row("train", TRAIN), row("bus", CAR), name=name, **image))
    assert totals(applied) == {"untouched": 1, "edited": 1}


def test_a_picture_of_another_folder_without_one_label_in_common_is_another(run: Path) -> None:
    applied = apply(
        run, coco(row("train", (5, 5, 9, 90)), row("bus", (90, 80, 30, 30)), name="cam1/street.jpg")
    )
    assert totals(applied) == {} and applied.apart == {"picture of another folder": 1}
    assert applied.corrections == 0


def test_foreign_pictures_are_counted_and_the_others_taken(run: Path) -> None:
    other = '<image id="1" name="other/x.jpg" width="9" height="9"><tag label="car"/></image>'
    applied = apply(run, cvat(brush("train", TRAIN), brush("bus", CAR), more=other))
    assert totals(applied) == {"untouched": 1, "edited": 1}  # cvat-ai/cvat#9307
    assert applied.apart == {"picture that is none of the run's": 1}
    with pytest.raises(RequestError, match=r"'other/x\.jpg', the run has 'cam0/street\.jpg'"):
        apply(run, cvat(name="other/x.jpg"))


def test_a_picture_that_is_there_twice_is_not_guessed(run: Path) -> None:
    text = cvat(brush("train", TRAIN), more=cvat(brush("bus", CAR)).split("</meta>")[1][:-14])
    with pytest.raises(RequestError, match=r"is there twice, or could be several.*picture once"):
        apply(run, text)


def test_objects_inside_others_keep_their_pixels(run: Path) -> None:
    inside, outside = (132, 84, 5, 6), (120, 70, 35, 40)
    applied = apply(
        run,
        coco(row("train", TRAIN), row("car", CAR), row("bus", outside), row("person", inside)),
    )
    assert totals(applied) == {"untouched": 2, "added": 2}
    found = instances(run)
    areas = dict(zip(found.prompt_ids.tolist(), masks_.areas(found.masks).tolist(), strict=True))
    assert areas == {1: 3600, 2: 12 * 20 - 30, 3: 35 * 40 - 240, 4: 30}


SQUARE, TRIANGLE = (60, 80, 20, 20), [60, 80, 80, 80, 60, 100]
NEW_PAIRS = [
    (row("bus", SQUARE), 1, "the-same"),
    (row("person", SQUARE), 2, "other-class"),
    (row("bus", (100, 80, 20, 20)), 2, "other-place"),
    (row("bus", SQUARE, segmentation=[TRIANGLE]), 2, "other-form"),
]


@pytest.mark.parametrize(
    ("second", "added"), [pair[:2] for pair in NEW_PAIRS], ids=[pair[2] for pair in NEW_PAIRS]
)
def test_an_object_that_was_drawn_twice_is_added_once_and_others_are_not_it(
    run: Path, second: dict[str, Any], added: int
) -> None:
    both = row("train", TRAIN), row("car", CAR)
    applied = apply(run, coco(*both, row("bus", SQUARE), second))
    assert totals(applied) == {"untouched": 2, "added": added}
    assert applied.apart == ({"object that is there twice": 1} if added == 1 else {})


def test_a_picture_of_another_size_is_named_and_nothing_in_it_is_decided(run: Path) -> None:
    document = coco(row("train", TRAIN), row("bus", CAR), width=640, height=640)
    with pytest.raises(RequestError, match=r"is \(640, 640\), the run's picture has \(120, 160\)"):
        apply(run, document)
    assert not instances(run).by_human.any()


@pytest.mark.parametrize("name", ["Car", "CAR", " car "])
def test_classes_that_differ_by_case_are_one(run: Path, name: str) -> None:
    assert totals(apply(run, coco(row("train", TRAIN), row(name, CAR)))) == {"untouched": 2}


def test_a_class_map_names_the_classes_of_a_file(run: Path, tmp_path: Path) -> None:
    document = coco(row("train", TRAIN), row("Auto", (129, 75, 15, 28)))
    applied = apply(run, document)
    assert totals(applied) == {"untouched": 1, "stays": 1} and applied.apart == {"class 'Auto'": 1}
    assert "--class-map" in "\n".join(applied.lines())
    (tmp_path / "map.yaml").write_text("source: a\ntarget: road\nmap: {Auto: car}\n")
    applied = apply(run, document, Terms(class_map=str(tmp_path / "map.yaml")))
    assert totals(applied) == {"untouched": 1, "edited": 1}


def test_a_label_whose_class_the_file_does_not_know_was_not_deleted(run: Path) -> None:
    document = coco(row("train", (22, 30, 95, 45)))
    document["categories"] = [one for one in document["categories"] if one["name"] != "car"]
    applied = apply(run, document)
    assert totals(applied) == {"edited": 1, "stays": 1}


@pytest.mark.parametrize("text", [cvat(), coco()], ids=["cvat", "coco"])
def test_a_file_that_only_deletes_is_asked_about(run: Path, text: object) -> None:
    before = (run / "run.json").read_bytes()
    with pytest.raises(RequestError, match=r"lacks 2 of the 2 labels.*--allow-deletions"):
        apply(run, text)
    assert (run / "run.json").read_bytes() == before
    applied = apply(run, text, Terms(allow_deletions=True))
    assert totals(applied) == {"deleted": 2}
    assert "1 pictures of the file hold nothing any more" in "\n".join(applied.lines())


def test_a_dry_run_shows_the_same_table_and_changes_nothing(
    run: Path, snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    path = run.parent / "edited.json"
    path.write_text(json.dumps(coco(row("train", TRAIN), row("bus", CAR), row("cow", CAR))))
    before = snapshot(run)
    dry = corrections.apply(run, path, dry_run=True)
    assert snapshot(run) == before and dry.run is None
    assert "nothing was changed (--dry-run)" in dry.lines()
    done = corrections.apply(run, path)
    assert dry.by_class == done.by_class and dry.apart == done.apart and dry.notes == done.notes


def test_everything_checked_is_kept_by_people(run: Path) -> None:
    document = coco(row("train", TRAIN), row("bus", CAR))
    applied = apply(run, document, Terms(all_checked=True))
    assert totals(applied) == {"kept": 1, "edited": 1} and instances(run).by_human.all()
    assert "40" in applied.trust  # checked labels are too few for a fit; without, none is tried


def test_a_file_from_before_another_undoes_nothing_and_their_additions_share_no_id(
    run: Path,
) -> None:
    first = coco(row("train", TRAIN), row("bus", CAR), row("car", (2, 90, 20, 20)))
    second = coco(row("train", (22, 30, 60, 40)), row("car", CAR), row("car", (60, 90, 20, 20)))
    apply(run, first)
    applied = apply(run, second)  # it was made before: the car is a car there, and one is not there
    assert totals(applied) == {"edited": 1, "untouched": 1, "added": 1, "stays": 1}
    ontology = read_spec(run).ontology
    found = instances(run)
    names = [ontology.by_id(int(class_id)).name for class_id in found.class_ids]
    assert names == ["train", "bus", "car", "car"] and len(set(found.prompt_ids.tolist())) == 4
    assert (found.statuses == Status.ACCEPTED).all() and found.by_human.all()


def test_what_a_person_only_kept_does_not_tell_that_a_file_knows_what_they_added(
    run: Path,
) -> None:
    before = read_spec(run).label_set()
    added = row("bus", (60, 90, 20, 20))
    apply(run, coco(row("train", TRAIN), row("car", CAR), added), Terms(all_checked=True))
    shutil.rmtree(run / "labels" / before)  # it took up room
    # Made before that: the train is the same there, and the bus was not there yet.
    applied = apply(run, coco(row("train", TRAIN), row("bus", CAR)))
    assert totals(applied) == {"untouched": 1, "edited": 1, "stays": 1}


def test_a_label_that_people_added_and_deleted_again_is_gone(run: Path) -> None:
    other_class = row("person", CAR)
    apply(run, coco(row("train", TRAIN), other_class, row("bus", (60, 90, 20, 20))))
    later = coco(row("train", TRAIN), other_class)
    later["categories"].append({"id": 4, "name": "bus"})
    assert totals(apply(run, later)) == {"untouched": 2, "deleted": 1}
    assert totals(apply(run, later)) == {"untouched": 2}
    assert masks_.areas(instances(run).masks).tolist() == [90 * 40, 12 * 20]
    applied = apply(run, coco(row("train", TRAIN), other_class, row("bus", (60, 60, 20, 20))))
    assert totals(applied) == {"untouched": 2, "added": 1}
    assert instances(run).instance_ids.tolist() == [1, 2, 4]  # 3 was the one that is gone


def test_an_id_leads_to_one_label_whatever_was_decided_of_another(run: Path) -> None:
    grown = (130, 78, 14, 24)
    apply(run, coco(row("train", TRAIN), row("car", grown, instance_id=2)))
    moved_onto_the_car = row("train", (125, 90, 20, 20), instance_id=1)
    applied = apply(run, coco(moved_onto_the_car))
    assert applied.by_class["train"]["edited"] == applied.by_class["car"]["deleted"] == 1
    found = instances(run)
    assert found.statuses.tolist() == [Status.ACCEPTED, Status.REJECTED]


def test_labels_that_a_run_accepted_since_were_not_deleted(run: Path) -> None:
    doubt = {"decide": {"judge": {"review_predicted_iou": 1.5}}}
    relabel(run, overrides=doubt)  # both are for review: a tool shows none of them
    only = coco(row("bus", (60, 90, 20, 20)))
    relabel(run, overrides={"decide": {"judge": {"review_predicted_iou": 0.5}}})
    applied = apply(run, only)
    assert totals(applied) == {"added": 1, "stays": 2}


@pytest.mark.parametrize(
    "name", ["annotations.xml", "annotations/instances_default.json", "a.json"]
)
def test_the_folder_of_an_archive_is_as_good_as_its_file(run: Path, name: str) -> None:
    path = run.parent / "task" / name
    path.parent.mkdir(parents=True)
    both = (row("train", TRAIN), row("bus", CAR))
    text = (
        cvat(brush("train", TRAIN), brush("bus", CAR)) if "xml" in name else json.dumps(coco(*both))
    )
    path.write_text(text)
    assert totals(corrections.apply(run, run.parent / "task")) == {"untouched": 1, "edited": 1}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04rest", "unpack it and give the folder"),
        (b"[]", "holds a list"),
        (b'{"shapes": []}', "has the keys shapes, expected `decisions`"),
        (b'{"annotations": [], "images": {}, "categories": []}', "images is '{}', expected a list"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"annotations": [], "images": [], "categories": []}', "names no picture"),
        (b"<annotations><track id='0'><box/></track></annotations>", "holds tracks; export"),
        (b"<annotations><version>1.1</version></annotations>", "names no picture"),
    ],
)
def test_other_files_are_refused_by_name(run: Path, data: bytes, words: str) -> None:
    path = run.parent / ("edited.xml" if data.startswith(b"<") else "edited.json")
    path.write_bytes(data)
    with pytest.raises(RequestError, match=words):
        corrections.apply(run, path)
