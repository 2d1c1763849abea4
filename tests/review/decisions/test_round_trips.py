"""Any set of edits, through the file of each tool: none is lost, nothing else is touched.

PERCEPTION_EDIT_SETS=250 makes 1,000 edit sets of them: 250 a tool.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from perception.commands import corrections
from perception.commands.results import read_labels
from perception.core import masks as masks_
from perception.core.types import Status
from perception.formats import mask_of_polygons
from perception.labeling.quality.correct import Correction
from perception.runs import corrections as stored_
from perception.runs import folder

EDIT_SETS = int(os.environ.get("PERCEPTION_EDIT_SETS", "6"))
HW = (120, 160)
NAMES = ("bus", "car", "person")
LABELS = 14  # in the two pictures

DONE = ("leave", "leave", "reclass", "grow", "cut", "move", "delete", "confirm", "spoil", "unname")
edit_sets = st.fixed_dictionaries(
    {
        "done": st.lists(st.sampled_from(DONE), min_size=LABELS, max_size=LABELS),
        "added": st.lists(
            st.tuples(
                st.sampled_from(("cam0/a.png", "cam0/b.png")),
                st.sampled_from(NAMES),
                st.integers(0, 130),
                st.integers(0, 90),
                st.integers(9, 24),
            ),
            max_size=3,
        ),
        "ids": st.booleans(),
        "shows_crowds": st.booleans(),
    }
)


@dataclass(frozen=True, eq=False)
class Object:
    """An object in a tool: a label of ours that somebody may have changed, or a new one."""

    file_name: str
    class_name: str
    bitmap: np.ndarray
    done: str
    instance_id: int = 0
    status: str = "accepted"
    spoiled: bool = False

    @property
    def key(self) -> tuple[str, int]:
        return self.file_name, self.instance_id


def objects_of(run: Path) -> list[Object]:
    """Return all labels of a run, as they are."""
    ontology = folder.read_spec(run).ontology
    return [
        Object(
            picture.file_name,
            ontology.by_id(int(rows.class_ids[row])).name,
            masks_.decode_one(rows.masks, row),
            "leave",
            int(rows.instance_ids[row]),
            Status(int(rows.statuses[row])).name.lower(),
        )
        for sample in read_labels(run)
        for picture in sample.pictures
        for rows in [picture.instances]
        for row in range(len(rows))
    ]


def edited(one: Object, done: str) -> Object | None:
    """Do to a label what a person does in a tool; None if it is gone."""
    one = replace(one, done=done)
    bitmap = one.bitmap.copy()
    rows, columns = np.nonzero(bitmap)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    if done == "delete":
        return None
    if done == "reclass":
        other = NAMES[(NAMES.index(one.class_name) + 1) % len(NAMES)]
        return replace(one, class_name=other)
    if done == "grow":
        bitmap[top : bottom + 5, left : right + 6] = True
    elif done == "cut":
        bitmap[:, left + (right - left) // 4 : right] = False
    elif done == "move":
        bitmap = np.roll(bitmap, (7, 11), (0, 1))
    elif done == "unname":
        return replace(one, class_name="cow")
    elif done == "spoil":
        return replace(one, spoiled=True)
    return replace(one, bitmap=bitmap, status="accepted" if done != "leave" else one.status)


def rings_of(bitmap: np.ndarray) -> list[list[float]]:
    """Outline a mask as most converters do: OpenCV's outer contours."""
    contours, _ = cv2.findContours(
        bitmap.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return [contour.ravel().astype(float).tolist() for contour in contours if len(contour) > 2]


def bounds_xywh(bitmap: np.ndarray) -> list[int]:
    x0, y0, x1, y1 = masks_.encode_one(bitmap)[0].tolist()
    return [x0, y0, x1 - x0, y1 - y0]


def write_cvat(objects: list[Object], file_names: list[str], path: Path, *, ids: bool) -> None:
    """Write CVAT for images 1.1, as CVAT gives back an edited task."""
    root = ElementTree.Element("annotations")
    labels = ElementTree.SubElement(root, "labels")
    for name in (*NAMES, "cow"):
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for file_name in file_names:
        size = {"width": str(HW[1]), "height": str(HW[0])}
        image = ElementTree.SubElement(root, "image", {"name": file_name, **size})
        for one in objects:
            if one.file_name != file_name:
                continue
            x, y, width, height = bounds_xywh(one.bitmap)
            if one.spoiled:
                points = f"{x},{y};{x + width},{y + height}"
                shape = ElementTree.SubElement(image, "polyline", {"points": points})
            else:
                crop = one.bitmap[y : y + height, x : x + width].ravel()
                edges = np.flatnonzero(np.diff(crop)) + 1
                runs = np.diff([0, *edges, crop.size]).tolist()
                values = [0, *runs] if crop[0] else runs
                place = {"left": x, "top": y, "width": width, "height": height}
                shape = ElementTree.SubElement(image, "mask", {k: str(v) for k, v in place.items()})
                shape.set("rle", ", ".join(map(str, values)))
            shape.set("label", one.class_name)
            known = {"instance_id": one.instance_id or "", "status": one.status}
            for name, value in known.items():
                own = ElementTree.SubElement(shape, "attribute", {"name": name})
                own.text = str(value) if ids else ""
    ElementTree.ElementTree(root).write(path)


def coco_document(objects: list[Object], file_names: list[str]) -> dict[str, Any]:
    names = (*NAMES, "cow")
    return {
        "images": [
            {"id": number, "file_name": name, "width": HW[1], "height": HW[0]}
            for number, name in enumerate(file_names, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": number,
                "image_id": 1 + file_names.index(one.file_name),
                "category_id": 1 + names.index(one.class_name),
                "bbox": bounds_xywh(one.bitmap),
                "area": int(one.bitmap.sum()),
            }
            for number, one in enumerate(objects, 1)
        ],
    }


def runs_of(bitmap: np.ndarray) -> dict[str, Any]:
    flat = bitmap.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(bitmap.shape), "counts": [0, *runs] if flat[0] else runs}


def write_cvat_coco(objects: list[Object], names: list[str], path: Path, *, ids: bool) -> None:
    """Write CVAT's COCO 1.0: brush masks are run-lengths with `iscrowd` 1, attributes inside."""
    document = coco_document(objects, names)
    for row, one in zip(document["annotations"], objects, strict=True):
        row["iscrowd"], row["segmentation"] = 1, runs_of(one.bitmap)
        known = {"instance_id": str(one.instance_id or ""), "status": one.status}
        row["attributes"] = {"occluded": False} | (known if ids else {})
        if one.spoiled:
            row["segmentation"]["size"] = [HW[0] + 1, HW[1]]
    path.write_text(json.dumps(document))


def write_coco(objects: list[Object], names: list[str], path: Path, *, ids: bool) -> None:
    """Write COCO as a script leaves ours: other rows have `iscrowd` 1."""
    document = coco_document(objects, names)
    for row, one in zip(document["annotations"], objects, strict=True):
        row["iscrowd"] = int(one.status != "accepted")
        encoded = masks_.join((masks_.encode_one(one.bitmap),), HW)
        row["segmentation"] = masks_.to_coco(encoded, 0)
        if ids and one.instance_id:
            row |= {"instance_id": one.instance_id, "status": one.status}
        if one.spoiled:
            row["segmentation"], row["keypoints"] = [], [1, 2, 2]
    path.write_text(json.dumps(document))


def write_label_studio(objects: list[Object], names: list[str], path: Path, *, ids: bool) -> None:
    """Write COCO as Label Studio does: polygons, ids from 0, pictures under a prefix."""
    document = coco_document(objects, names)
    for image in document["images"]:
        image["file_name"] = f"images/0a1b2c3d-{Path(image['file_name']).name}"
    for row, one in zip(document["annotations"], objects, strict=True):
        rings = rings_of(one.bitmap)
        row |= {"id": row["id"] - 1, "iscrowd": 0, "ignore": 0, "segmentation": rings}
        if one.spoiled:
            row["segmentation"] = [rings[0][:4]]
    path.write_text(json.dumps(document))


def oracle_writer(to: str, oracle: Callable[[str], ModuleType]) -> Callable[..., None]:
    """Let datumaro, which writes CVAT's exports, write one."""
    parts = oracle("datumaro.components.annotation"), oracle("datumaro.components.dataset_base")
    media, dataset = oracle("datumaro.components.media"), oracle("datumaro.components.dataset")

    def write(objects: list[Object], names: list[str], path: Path, *, ids: bool) -> None:
        labels = (*NAMES, "cow")
        items = []
        for name in names:
            rows = []
            for one in objects:
                if one.file_name != name:
                    continue
                known = {"instance_id": str(one.instance_id or ""), "status": one.status}
                label = labels.index(one.class_name)
                own = {"label": label, "attributes": known if ids else {}}
                x, y, width, height = bounds_xywh(one.bitmap)
                rows.append(
                    parts[0].PolyLine([x, y, x + width, y + height], **own)
                    if one.spoiled
                    else parts[0].Mask(one.bitmap, **own)
                )
            picture = media.Image.from_numpy(np.zeros((*HW, 3), np.uint8), ext=".png")
            items.append(
                parts[1].DatasetItem(id=name.removesuffix(".png"), media=picture, annotations=rows)
            )
        options = {"allow_undeclared_attrs": True} if to == "cvat" else {}
        out = path.parent / f"{path.name}-datumaro"
        made = dataset.Dataset.from_iterable(items, categories=list(labels))
        made.export(str(out), to, save_media=False, **options)
        inside = "default.xml" if to == "cvat" else "annotations/instances_default.json"
        path.write_bytes((out / inside).read_bytes())

    return write


@dataclass(frozen=True)
class Tool:
    """What becomes of labels in a tool."""

    write: Callable[..., None]
    suffix: str
    statuses: frozenset[str]  # that are in its files
    keeps_ids: bool = True
    outlines: bool = False
    crowds: bool = False


SHOWN = frozenset({"accepted", "review"})
TOOLS = {
    "cvat": Tool(write_cvat, ".xml", SHOWN),
    "cvat-coco": Tool(write_cvat_coco, ".json", SHOWN),
    "coco": Tool(write_coco, ".json", SHOWN | {"rejected"}, crowds=True),
    "label-studio": Tool(
        write_label_studio, ".json", frozenset({"accepted"}), keeps_ids=False, outlines=True
    ),
}


def as_filled(bitmap: np.ndarray, tool: Tool) -> np.ndarray:
    """Return the mask that a drawn object is, when its file is read."""
    if not tool.outlines:
        return bitmap
    return masks_.decode_one(mask_of_polygons(rings_of(bitmap), HW, ""), 0)


def check(tool: Tool, plan: dict[str, Any], run: Path, path: Path) -> None:
    """Edit, apply, and compare what is there with what was there and was done."""
    before = objects_of(run)
    ids = plan["ids"] and tool.keeps_ids
    shown = [one for one in before if one.status in tool.statuses]
    if tool.crowds and not plan["shows_crowds"]:
        shown = [one for one in shown if one.status == "accepted"]
    done = dict(zip([one.key for one in before], plan["done"], strict=True))
    for one in shown:  # what a tool cannot say
        if one.status == "rejected" or (done[one.key] == "confirm" and not ids):
            done[one.key] = "leave"
        if tool.crowds and one.status == "review" and done[one.key] in ("reclass", "spoil"):
            done[one.key] = "grow"
    objects = [new for one in shown if (new := edited(one, done[one.key])) is not None]
    for file_name, class_name, x, y, side in plan["added"]:
        bitmap = np.zeros(HW, bool)
        bitmap[y : y + side, x : x + side + 3] = True
        objects.append(Object(file_name, class_name, bitmap, "add"))
    tool.write(objects, ["cam0/a.png", "cam0/b.png"], path, ids=ids)

    applied = corrections.apply(run, path, terms=corrections.Terms(allow_deletions=True))
    spec = folder.read_spec(run)
    stored = {(one.file_name, one.instance): one for one in stored_.read(run, spec)}
    now = {one.key: one for one in objects_of(run)}
    foreign = {
        name for name in ("cam0/a.png", "cam0/b.png")
        if any(f"'{name}' of the run have no label in common" in note for note in applied.notes)
    }  # fmt: skip
    if foreign:  # a renamed picture of which no label is as it was: said, and nothing decided of it
        as_it_was = [one for one in objects if one.done in ("leave", "confirm")]
        assert not any(one.file_name in foreign for one in as_it_was)
        assert applied.apart["picture of another folder"] == len(foreign)
        assert not any(file_name in foreign for file_name, _ in stored)
        objects, before, shown = (
            [one for one in some if one.file_name not in foreign]
            for some in (objects, before, shown)
        )
    spoiled = [one for one in objects if one.spoiled]

    for one in objects:
        ours = stored.get(one.key)
        if one.done in ("leave", "spoil", "unname") or (
            one.done == "confirm" and before_status(before, one) == "accepted"
        ):
            assert ours is None or redrawn(one, ours, objects), f"{one.done} was decided: {ours}"
            assert now[one.key].status != "rejected" or one.status == "rejected"
        elif one.done == "confirm":
            assert ours is not None and ours.decision == "accept"
        elif one.done == "reclass":
            assert ours is not None and ours.class_name == one.class_name
            original = next(other.bitmap for other in before if other.key == one.key)
            assert bitmap_of(ours).tolist() == original.tolist()
        else:
            kept = [
                entry
                for entry in stored.values()
                if entry.kept
                and entry.file_name == one.file_name
                and entry.class_name == one.class_name
                and (bitmap_of(entry) == as_filled(one.bitmap, tool)).all()
            ]
            assert kept, f"{one.done} of {one.key} is lost"
            if ids and one.instance_id:
                assert ours in kept
    check_pixels(stored, now, objects)
    # Where only accepted labels are surely in a file, others are deleted if one of them came back.
    shows_review = any(not one.spoiled for one in objects) or ids
    if tool.crowds:
        back = {one.key for one in objects if one.done in ("leave", "confirm", "unname")}
        shows_review = any(one.status == "review" and one.key in back for one in before)
    for one in before:
        ours = stored.get(one.key)
        if one not in shown:
            assert ours is None or ours.kept, f"{one.key} was not in the file and is deleted"
        elif done[one.key] == "delete" and (one.status == "accepted" or shows_review):
            near = any(touch(one, other) for other in spoiled)
            assert ours is not None or near, f"{one.key} was deleted and is still there"
    if not foreign:
        check_sums(applied, before, objects)
    applied = corrections.apply(run, path, terms=corrections.Terms(allow_deletions=True))
    again = folder.read_spec(run)
    assert again.corrections == spec.corrections, "the same file again changes something"
    assert not any(row["edited"] + row["added"] for row in applied.by_class.values())


def check_pixels(
    stored: dict[tuple[str, int], Correction],
    now: dict[tuple[str, int], Object],
    objects: list[Object],
) -> None:
    """Labels give each pixel to one of them: none of those that are in the file may lose all."""
    labels = {key: bitmap_of(one) for key, one in stored.items() if one.kept}
    left = [one for one in objects if one.done == "leave" and one.status == "accepted"]
    labels |= {one.key: one.bitmap for one in left}
    for key, bitmap in labels.items():
        smaller = [
            other
            for other_key, other in labels.items()
            if other_key != key and other_key[0] == key[0] and other.sum() <= bitmap.sum()
        ]
        assert not (now[key].bitmap & ~bitmap).any()
        hidden = (bitmap & ~np.any([*smaller, np.zeros(HW, bool)], axis=0)).sum() == 0
        assert now[key].bitmap.any() or hidden, f"{key} has no pixel left"


def redrawn(one: Object, ours: Correction, objects: list[Object]) -> bool:
    """Tell whether a new object took the place of a label that is in the file as a line."""
    new = [other.bitmap for other in objects if other.done == "add"]
    return one.spoiled and ours.kept and any((bitmap_of(ours) == other).all() for other in new)


def before_status(before: list[Object], one: Object) -> str:
    return next(other.status for other in before if other.key == one.key)


def bitmap_of(one: Correction) -> np.ndarray:
    encoded = (np.array(one.mask_xyxy, np.int32), one.mask_counts.encode())
    return masks_.decode_one(masks_.join((encoded,), HW), 0)


def touch(one: Object, other: Object) -> bool:
    if one.file_name != other.file_name:
        return False
    (x, y, width, height), (left, top, wide, high) = map(bounds_xywh, (one.bitmap, other.bitmap))
    return x <= left + wide and left <= x + width and y <= top + high and top <= y + height


def check_sums(applied: corrections.Applied, before: list[Object], objects: list[Object]) -> None:
    """Every label that was there, and every object that is there, is counted once."""
    total = Counter[str]()
    for row in applied.by_class.values():
        total.update(row)
    usual = sum(one.status != "rejected" for one in before)
    ours = total["kept"] + total["edited"] + total["deleted"] + total["untouched"] + total["stays"]
    assert ours == usual
    rejected = sum(one.status == "rejected" for one in objects)
    theirs = total["kept"] + total["edited"] + total["added"] + total["untouched"] + rejected
    assert theirs + sum(applied.apart.values()) == len(objects)


SAME_PIXELS = {  # two of one class and one of another
    "done": ["leave"] * LABELS,
    "added": [("cam0/b.png", name, 4, 13, 10) for name in ("person", "person", "bus")],
    "ids": False,
    "shows_crowds": False,
}
ALL_CHANGED = {**SAME_PIXELS, "done": ["move"] * LABELS, "added": []}
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # which takes longer than 1,000 sets
QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * EDIT_SETS)
@pytest.mark.parametrize("name", TOOLS)
@settings(max_examples=EDIT_SETS, deadline=None, phases=NO_SHRINKING, suppress_health_check=QUIET)
@given(plan=edit_sets)
@example(plan=SAME_PIXELS)
@example(plan=ALL_CHANGED)
def test_no_edit_is_lost_and_nothing_else_is_touched(
    name: str, plan: dict[str, Any], fresh: Callable[[], Path]
) -> None:
    run = fresh()
    tool = TOOLS[name]
    check(tool, plan, run, run.parent / f"edited{tool.suffix}")


@pytest.mark.timeout(120 + 20 * EDIT_SETS)
@pytest.mark.parametrize("to", ["cvat", "coco_instances"])
@settings(
    max_examples=max(2, EDIT_SETS // 4),
    deadline=None,
    phases=NO_SHRINKING,
    suppress_health_check=QUIET,
)
@given(plan=edit_sets)
def test_the_same_holds_for_files_that_datumaro_writes(
    to: str,
    plan: dict[str, Any],
    fresh: Callable[[], Path],
    oracle: Callable[[str], ModuleType],
) -> None:
    run = fresh()
    if to != "cvat":  # its COCO leaves out what has no area: nobody can tell that from deleting
        plan = plan | {"done": ["leave" if one == "spoil" else one for one in plan["done"]]}
    tool = Tool(oracle_writer(to, oracle), ".xml" if to == "cvat" else ".json", SHOWN)
    check(tool, plan, run, run.parent / f"edited{tool.suffix}")


def test_a_box_is_not_taken_for_the_same_because_outlines_are_off_by_as_much(
    fresh: Callable[[], Path],
) -> None:
    run = fresh()
    objects = [one for one in objects_of(run) if one.status == "accepted"]
    path = run.parent / "edited.json"
    write_label_studio(objects, ["cam0/a.png", "cam0/b.png"], path, ids=False)
    document = json.loads(path.read_bytes())
    for row in document["annotations"][5:]:  # five outlines and three boxes
        row["segmentation"] = []
    x, y, width, height = document["annotations"][7]["bbox"]
    document["annotations"][7]["bbox"] = [x + 1, y, width, height]
    path.write_text(json.dumps(document))
    applied = corrections.apply(run, path)
    total = sum((Counter(row) for row in applied.by_class.values()), Counter[str]())
    stays = sum(one.status == "review" for one in objects_of(run))
    assert total == Counter({"untouched": 7, "edited": 1, "stays": stays})
