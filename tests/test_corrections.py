"""What people decide comes home: decisions, edited COCO files, and what must be refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception import calibrate, commands, corrections
from perception import masks as masks_
from perception.commands import LabelRequest
from perception.errors import RequestError
from perception.types import Instances, Status

Decide = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, pictures: Callable[[Path, int], Path]) -> Path:
    """Six pictures with 0, 1 and 2 objects in turn."""
    source = pictures(tmp_path / "pictures", 6)
    request = LabelRequest(str(source), tmp_path / "run", "boxes", "bright")
    return commands.label(request).folder


@pytest.fixture
def decide(run: Path, tmp_path: Path) -> Decide:
    def write(*rows: dict[str, Any], **changes: Any) -> Path:
        stated = json.loads((run / "run.json").read_bytes())
        document = {
            "kind": "perception decisions 1",
            "run": stated["spec"]["plan_sha256"][:12],
            "labels": stated["labels"],
            "decisions": list(rows),
        }
        path = tmp_path / "decisions.json"
        path.write_text(json.dumps(document | changes))
        return path

    return write


def said(sample: str, instance: int, decision: str, **more: str) -> dict[str, Any]:
    return {"sample": sample, "instance": instance, "decision": decision, **more}


def instances(run: Path, sample: str) -> Instances:
    found = {one.id: one for one in commands.read_labels(run)}
    return found[sample].pictures[0].instances


def test_decisions_replace_ours_and_stay_whatever_is_decided_later(
    run: Path, decide: Decide
) -> None:
    before = instances(run, "002.png")
    assert before.statuses.tolist() == [0, 0] and not before.by_human.any()
    applied = corrections.apply(
        run,
        decide(
            said("001.png", 1, "reject"),
            said("002.png", 1, "accept"),
            said("002.png", 2, "wrong_class", **{"class": "bus"}),
        ),
    )
    assert applied.by_class == {"car": {"kept": 1, "edited": 1, "deleted": 1, "added": 0}}
    commands.relabel(run, overrides={"decide": {"judge": {"min_score": 0.99}}})
    first, second = instances(run, "001.png"), instances(run, "002.png")
    assert first.reasons == (("human.reject",),) and first.statuses.tolist() == [Status.REJECTED]
    assert second.statuses.tolist() == [0, 0] and second.by_human.all()
    assert second.masks.counts == before.masks.counts
    names = [commands.folder.read_spec(run).ontology.by_id(int(i)).name for i in second.class_ids]
    assert names == ["car", "bus"]


def test_the_same_file_twice_changes_nothing_and_a_later_one_wins(
    run: Path, decide: Decide, snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    path = decide(said("001.png", 1, "reject"))
    original = path.read_text()
    corrections.apply(run, path)
    once = snapshot(run)
    corrections.apply(run, path)  # about the label set of before, which the run still has
    assert snapshot(run) == once
    later = json.loads(original) | {"decisions": [said("001.png", 1, "accept")]}
    path.write_text(json.dumps(later))
    assert corrections.apply(run, path).corrections == 1
    assert instances(run, "001.png").statuses.tolist() == [Status.ACCEPTED]


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        ([said("001.png", 1, "accept")], {"run": "0123456789ab"}, "belongs to another run"),
        ([said("001.png", 1, "accept")], {"labels": "0123456789ab"}, "belongs to another run"),
        ([said("001.png", 1, "accept")], {"labels": "../labels"}, "belongs to another run"),
        ([said("001.png", 1, "accept"), said("001.png", 1, "reject")], {}, "is decided twice"),
        ([said("001.png", 9, "accept")], {}, "sample '001.png' has no instance 9"),
        ([said("099.png", 1, "accept")], {}, "sample '099.png' has no instance 1"),
        ([said("001.png", 1, "maybe")], {}, "decision is 'maybe', expected one of accept"),
        ([said("001.png", 1, "wrong_class", **{"class": "cow"})], {}, "class is 'cow'"),
        ([said("001.png", 0, "accept")], {}, "instance"),
        (["accept"], {}, r"decisions\[0\]"),
        ([], {"decisions": None}, "decisions is no list"),
        ([], {"kind": "shopping list"}, "kind is 'shopping list'"),
    ],
)
def test_decisions_that_cannot_be_meant_are_refused_and_change_nothing(
    run: Path, decide: Decide, rows: list[Any], changes: dict[str, Any], words: str
) -> None:
    before = (run / "run.json").read_bytes()
    with pytest.raises(RequestError, match=words) as caught:
        corrections.apply(run, decide(*rows, **changes))
    assert caught.value.code == "corrections.invalid"
    assert (run / "run.json").read_bytes() == before and not (run / "corrections").exists()


def exported(run: Path, out: Path, *, ids: bool = True) -> dict[str, Any]:
    commands.export(run, "coco", out)
    document: dict[str, Any] = json.loads(out.read_bytes())
    if not ids:
        for row in document["annotations"]:
            del row["instance_id"]
    return document


def moved(row: dict[str, Any], shift_px: int) -> dict[str, Any]:
    mask = masks_.decode_one(masks_.from_coco(row["segmentation"]), 0)
    bitmap = np.roll(mask, shift_px, axis=1)
    encoded = masks_.join((masks_.encode_one(bitmap),), bitmap.shape)
    return row | {"segmentation": masks_.to_coco(encoded, 0), "bbox": [0, 0, 1, 1]}


@pytest.mark.parametrize("ids", [True, False])
def test_an_edited_coco_file_is_kept_edited_deleted_and_added(
    run: Path, tmp_path: Path, ids: bool
) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path, ids=ids)
    rows = document["annotations"]  # of 001, 002 twice, 004, 005 twice
    assert len(rows) == 6
    new = {**moved(rows[0], 30), "id": 99, "category_id": rows[0]["category_id"]}
    new.pop("instance_id", None)
    document["annotations"] = [rows[0], moved(rows[1], 2), new, *rows[3:]]
    path.write_text(json.dumps(document))
    applied = corrections.apply(run, path)
    assert applied.by_class == {"car": {"kept": 4, "edited": 1, "deleted": 1, "added": 1}}
    first, second = instances(run, "001.png"), instances(run, "002.png")
    assert len(first) == 2 and first.instance_ids.tolist() == [1, 2] and first.by_human.all()
    assert sorted(second.statuses.tolist()) == [Status.ACCEPTED, Status.REJECTED]
    again = exported(run, tmp_path / "again.json")["annotations"]
    assert sum(row["iscrowd"] == 0 for row in again) == 6
    assert all(row["by_human"] for row in again if row["iscrowd"] == 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instance_id": 77}, "instance_id 77 is no label of this image"),
        ({"instance_id": 1}, "instance_id 1 comes twice"),
    ],
)
def test_ids_that_are_not_ours_or_come_twice_are_refused(
    run: Path, tmp_path: Path, change: dict[str, int], words: str
) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path)
    document["annotations"].append({**document["annotations"][0], "id": 99, **change})
    path.write_text(json.dumps(document))
    with pytest.raises(RequestError, match=words):
        corrections.apply(run, path)


def test_a_coco_file_of_other_images_is_refused(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path)
    document["images"][0]["file_name"] = "elsewhere.png"
    path.write_text(json.dumps(document))
    with pytest.raises(RequestError, match="elsewhere"):
        corrections.apply(run, path)


def test_decisions_become_checked_labels(run: Path, decide: Decide) -> None:
    path = decide(
        said("001.png", 1, "accept"),
        said("002.png", 2, "bad_edge"),
        said("004.png", 1, "wrong_class", **{"class": "bus"}),
    )
    found = calibrate.from_decisions(run, path, right_iou=0.75)
    assert found.examples.right.tolist() == [True, False, False]
    assert len(set(found.examples.groups)) == 3
    with pytest.raises(RequestError, match="3 checked labels, expected at least 40"):
        calibrate.calibrate(found, right_iou=0.75, target_precision=0.95)


def test_without_a_fit_there_is_an_order_and_no_probability(run: Path) -> None:
    rows = calibrate.worst_first(run)
    assert len(rows) == 6 and all(row.trust is None for row in rows)
    assert {row.instance for row in rows[:2]} == {2}  # the darker ones have the lower score
    assert np.isnan(instances(run, "002.png").trusts).all()


def test_damaged_corrections_are_said_and_not_forgotten(run: Path, decide: Decide) -> None:
    corrections.apply(run, decide(said("001.png", 1, "reject")))
    (stored,) = (run / "corrections").iterdir()
    stored.write_text("[]")
    with pytest.raises(RequestError, match="corrections"):
        commands.relabel(run, overrides={"decide": {"judge": {"min_score": 0.5}}})
