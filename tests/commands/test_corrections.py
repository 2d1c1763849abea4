"""What people decide comes home: decisions, edited COCO files, and what must be refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from perception.commands import corrections, trust
from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.commands.results import read_labels
from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.ontology import load_ontology
from perception.core.types import Instances, Masks, PictureLabels, Status, unknown_signals
from perception.evaluation.compare import no_labels
from perception.review import decisions
from perception.runs.folder import read_spec

Decide = Callable[..., Path]


@pytest.fixture(scope="module")
def labelled(
    tmp_path_factory: pytest.TempPathFactory, pictures: Callable[[Path, int], Path]
) -> Path:
    folder = tmp_path_factory.mktemp("corrections")
    source = pictures(folder / "pictures", 6)
    return label(LabelRequest(str(source), folder / "run", "boxes", "bright")).folder


@pytest.fixture
def run(tmp_path: Path, labelled: Path) -> Path:
    """Six pictures with 0, 1 and 2 objects in turn."""
    return Path(shutil.copytree(labelled, tmp_path / "run"))


@pytest.fixture
def decide(run: Path, tmp_path: Path) -> Decide:
    def write(*rows: dict[str, Any], **changes: Any) -> Path:
        spec = read_spec(run)
        document = {
            "run": spec.evidence_fingerprint(),
            "label_set": spec.label_set(),
            "decisions": list(rows),
        }
        path = tmp_path / "decisions.json"
        path.write_text(json.dumps(document | changes))
        return path

    return write


def table(**classes: dict[str, int]) -> dict[str, dict[str, int]]:
    return {name: dict.fromkeys(corrections.COLUMNS, 0) | row for name, row in classes.items()}


def said(sample: str, instance: int, decision: str, **more: str) -> dict[str, Any]:
    return {"sample": sample, "instance": instance, "decision": decision, **more}


def instances(run: Path, sample: str) -> Instances:
    found = {one.id: one for one in read_labels(run)}
    return found[sample].pictures[0].instances


@pytest.mark.slow
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
    assert applied.by_class == table(car={"kept": 1, "edited": 1, "deleted": 1})
    relabel(run, overrides={"decide": {"judge": {"min_score": 0.99}}})
    first, second = instances(run, "001.png"), instances(run, "002.png")
    assert first.reasons == (("human.reject",),) and first.statuses.tolist() == [Status.REJECTED]
    assert second.statuses.tolist() == [0, 0] and second.by_human.all()
    assert second.masks.counts == before.masks.counts
    names = [read_spec(run).ontology.by_id(int(i)).name for i in second.class_ids]
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
        ([said("001.png", 1, "accept")], {"label_set": "0123456789ab"}, "make the page again"),
        ([said("001.png", 1, "accept")], {"label_set": "../labels"}, "make the page again"),
        ([said("001.png", 1, "accept")], {"label_set": ["x"]}, "make the page again"),
        (
            [said("001.png", 1, "accept", picture="002.png")],
            {},
            "'002.png' of sample '001.png' has",
        ),
        ([said("001.png", 1, "accept", colour="red")], {}, "colour"),
        ([said("001.png", 1, "accept"), said("001.png", 1, "reject")], {}, "is decided twice"),
        ([said("001.png", 9, "accept")], {}, "sample '001.png' has no instance 9"),
        ([said("099.png", 1, "accept")], {}, "sample '099.png' has no instance 1"),
        ([said("001.png", 1, "maybe")], {}, "decision is 'maybe', expected one of accept"),
        ([said("001.png", 1, "wrong_class", **{"class": "cow"})], {}, "class is 'cow'"),
        ([said("001.png", 0, "accept")], {}, "instance"),
        (["accept"], {}, r"decisions\[0\]"),
        ([], {"decisions": None}, "decisions is no list"),
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
    export(run, "coco", out)
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
    assert applied.by_class == table(car={"edited": 1, "deleted": 1, "added": 1, "untouched": 4})
    first, second = instances(run, "001.png"), instances(run, "002.png")
    assert first.instance_ids.tolist() == [1, 2] and first.by_human.tolist() == [False, True]
    assert sorted(second.statuses.tolist()) == [Status.ACCEPTED, Status.REJECTED]
    again = exported(run, tmp_path / "again.json")["annotations"]
    assert sum(row["iscrowd"] == 0 for row in again) == 6
    assert sum(row["by_human"] for row in again if row["iscrowd"] == 0) == 2
    card = json.loads((tmp_path / "again.card.json").read_bytes())
    assert card["counts"]["decided_by_people"] == 2


@pytest.mark.parametrize("instance_id", [1, 77, "x", 1 << 40])
def test_ids_that_are_not_ours_or_come_twice_lead_nowhere(
    run: Path, tmp_path: Path, instance_id: object
) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path)
    row = document["annotations"][0]
    document["annotations"] += [
        {**row, "id": 99, "instance_id": instance_id},
        {**moved(row, 30), "id": 99, "instance_id": instance_id},  # a copy that was put elsewhere
    ]
    path.write_text(json.dumps(document))
    applied = corrections.apply(run, path)
    assert applied.by_class == table(car={"untouched": 6, "added": 1})
    assert applied.apart == {"object that is there twice": 1}


@pytest.mark.parametrize(
    ("shift_px", "all_checked", "row"),
    [
        (2, False, {"edited": 1, "deleted": 5}),
        (0, True, {"kept": 1, "deleted": 5}),
        (2, True, {"edited": 1, "kept": 1, "deleted": 4}),
    ],
)
def test_who_changes_or_keeps_a_label_saw_that_the_others_are_gone(
    run: Path, tmp_path: Path, shift_px: int, all_checked: bool, row: dict[str, int]
) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path)
    first, *others = document["annotations"]
    left = [moved(first, shift_px) if shift_px else first, *others[: 5 - row["deleted"]]]
    path.write_text(json.dumps(document | {"annotations": left}))
    terms = corrections.Terms(all_checked=all_checked)
    assert corrections.apply(run, path, terms=terms).by_class == table(car=row)


@pytest.mark.parametrize(
    ("to", "all_checked", "decided"), [("coco", False, 1), ("coco", True, 6), ("cvat", True, 5)]
)
def test_a_label_is_of_people_where_they_touched_it_or_said_that_all_was_checked(
    run: Path, tmp_path: Path, to: str, all_checked: bool, decided: int
) -> None:
    file = tmp_path / "edited.json"
    document = exported(run, file)
    document["annotations"][0] = moved(document["annotations"][0], 2)
    file.write_text(json.dumps(document))
    if to == "cvat":
        export(run, "cvat", tmp_path / "cvat")
        file = tmp_path / "cvat" / "annotations.xml"
        tree = ElementTree.parse(file)
        first = next(one for one in tree.iter("image") if len(one))
        first.remove(first[0])
        tree.write(file)
    corrections.apply(run, file, terms=corrections.Terms(all_checked=all_checked))
    kept = [
        by_human
        for one in read_labels(run)
        for own in [one.pictures[0].instances]
        for by_human, status in zip(own.by_human, own.statuses, strict=True)
        if status == Status.ACCEPTED
    ]
    assert sum(kept) == decided and len(kept) == (5 if to == "cvat" else 6)


def test_a_moved_label_is_found_by_its_id(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path)
    document["annotations"][0] = moved(document["annotations"][0], 30)
    path.write_text(json.dumps(document))
    assert corrections.apply(run, path).by_class == table(car={"untouched": 5, "edited": 1})


def test_decisions_become_checked_labels(run: Path, decide: Decide) -> None:
    path = decide(
        said("001.png", 1, "accept"),
        said("002.png", 2, "bad_edge"),
        said("004.png", 1, "wrong_class", **{"class": "bus"}),
    )
    found = trust.from_decisions(run, path, right_iou=0.75)
    assert found.examples.right.tolist() == [True, False, False]
    assert len(set(found.examples.groups)) == 3
    with pytest.raises(RequestError, match="3 checked labels, expected at least 40"):
        trust.fit(found, right_iou=0.75, target_precision=0.95)


def test_without_a_fit_there_is_an_order_and_no_probability(run: Path) -> None:
    rows = trust.worst_first(run)
    assert len(rows) == 6 and all(row.trust is None for row in rows)
    assert {row.instance for row in rows[:2]} == {2}  # the darker ones have the lower score
    assert np.isnan(instances(run, "002.png").trusts).all()


def test_an_edited_cvat_file_comes_home_and_people_are_named_in_the_next_one(
    run: Path, tmp_path: Path
) -> None:
    export(run, "cvat", tmp_path / "cvat")
    file = tmp_path / "cvat" / "annotations.xml"
    tree = ElementTree.parse(file)
    images = {one.get("name"): one for one in tree.iter("image")}
    images["002.png"].remove(images["002.png"][1])
    for attribute in images["004.png"].iter("attribute"):
        attribute.text = ""  # as CVAT does where its task does not know them: found by IoU
    images["005.png"][0].set("label", "bus")
    tree.write(file)
    applied = corrections.apply(run, tmp_path / "cvat")
    assert applied.by_class == table(car={"edited": 1, "deleted": 1, "untouched": 4})
    export(run, "cvat", tmp_path / "again")
    shapes = list(ElementTree.parse(tmp_path / "again" / "annotations.xml").iter("mask"))
    assert sorted(one.get("source") or "" for one in shapes) == ["auto"] * 4 + ["manual"]
    assert sorted(one.get("label") or "" for one in shapes) == ["bus", *["car"] * 4]
    file.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>')
    with pytest.raises(RequestError) as caught:
        corrections.apply(run, file)
    assert caught.value.code == "xml.unsafe"


@pytest.mark.parametrize("ids", [True, False])
def test_cvat_shows_what_is_for_review_and_only_what_was_touched_is_decided(
    run: Path, tmp_path: Path, ids: bool
) -> None:
    def labels() -> dict[tuple[str, int], tuple[int, int, bytes, bool]]:
        return {
            (one.id, int(own.instance_ids[row])): (
                int(own.statuses[row]),
                int(own.class_ids[row]),
                own.masks.counts[row],
                bool(own.by_human[row]),
            )
            for one in read_labels(run)
            for own in [one.pictures[0].instances]
            for row in range(len(own))
        }

    relabel(run, overrides={"decide": {"judge": {"review_predicted_iou": 1.5}}})
    before = labels()
    assert {status for status, *_ in before.values()} == {Status.REVIEW}
    (done,) = export(run, "cvat", tmp_path / "cvat")
    assert (done.written.labels, done.written.ignored) == (0, 6)
    assert "6 ignored (status review, for people)" in done.lines()[0]
    file = tmp_path / "cvat" / "annotations.xml"
    tree = ElementTree.parse(file)
    for attribute in [] if ids else tree.iter("attribute"):
        attribute.text = ""  # as CVAT does where its task does not know them
    tree.write(file)
    assert corrections.apply(run, file).corrections == 0 and labels() == before

    images = {one.get("name"): one for one in tree.iter("image")}
    if ids:
        images["001.png"][0][2].text = "accepted"
    images["002.png"][0].set("label", "bus")
    images["004.png"].remove(images["004.png"][0])
    tree.write(file)
    assert corrections.apply(run, file).corrections == (3 if ids else 2)
    after = labels()
    changed = {key[0] for key in before if after[key] != before[key]}
    assert changed == {"002.png", "004.png", *(["001.png"] if ids else [])}
    kept = before["001.png", 1][1:3]
    assert after["001.png", 1] == ((0, *kept, True) if ids else before["001.png", 1])


@pytest.mark.parametrize("status", ["accepted", " Accepted", "review", None])
def test_what_cvat_s_coco_says_was_accepted_is_decided_and_nothing_else(
    run: Path, tmp_path: Path, status: str | None
) -> None:
    relabel(run, overrides={"decide": {"judge": {"review_predicted_iou": 1.5}}})
    path = tmp_path / "edited.json"
    document = exported(run, path)
    for row in document["annotations"]:  # CVAT keeps what it does not know in `attributes`
        own = {key: row.pop(key) for key in ("instance_id", "status")}
        row |= {"attributes": own, "iscrowd": 1}  # run-lengths, as CVAT writes them
    document["annotations"][0]["attributes"]["status"] = status
    path.write_text(json.dumps(document))
    said_yes = status not in ("review", None)
    assert corrections.apply(run, path).corrections == said_yes
    found = instances(run, "001.png")
    assert found.by_human.tolist() == [said_yes]
    assert found.statuses.tolist() == [Status.ACCEPTED if said_yes else Status.REVIEW]


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [
        ({"size": [40, 60], "counts": "P"}, "mask"),
        ({"size": [40, 60], "counts": [1, 2]}, "mask"),
        ([[1.0, 2.0, float("1e9"), 3.0, 4.0, 5.0]], "polygon"),
        ([[1.0, 2.0, 3.0]], "polygon"),
    ],
)
@pytest.mark.parametrize("ids", [True, False])
def test_rows_18_and_19_masks_that_are_none_are_kept_apart_and_their_labels_stay(
    run: Path, tmp_path: Path, segmentation: Any, kind: str, ids: bool
) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path, ids=ids)
    if isinstance(segmentation, dict):
        segmentation["size"] = document["annotations"][0]["segmentation"]["size"]
    document["annotations"][0]["segmentation"] = segmentation
    path.write_text(json.dumps(document))
    before = (run / "run.json").read_bytes()
    applied = corrections.apply(run, path)
    assert applied.by_class == table(car={"untouched": 5, "stays": 1})
    assert applied.apart == {kind: 1} and applied.corrections == 0
    assert (run / "run.json").read_bytes() == before


def test_row_27_annotations_that_come_twice_are_one(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "edited.json"
    document = exported(run, path)
    document["annotations"].append(document["annotations"][0])
    path.write_text(json.dumps(document))
    applied = corrections.apply(run, path)
    assert applied.by_class == table(car={"untouched": 6})
    assert applied.apart == {"object that is there twice": 1}


def test_an_object_that_two_cameras_show_is_decided_in_one_picture() -> None:
    encoded = masks_.join((masks_.encode_one(np.ones((4, 4), bool)),), (4, 4))
    seen = [
        ("s", PictureLabels(name, f"{name}.png", (4, 4), one_instance(encoded, prompt), ()))
        for prompt, name in ((1, "left"), (2, "right"))
    ]
    row = {"sample": "s", "instance": 1, "decision": "reject"}
    with pytest.raises(RequestError, match=r"is in left.png, right.png: say which `picture`"):
        decisions.decided({"decisions": [row]}, seen, load_ontology(), Path("d.json"))
    (found,) = decisions.decided(
        {"decisions": [{**row, "picture": "right.png"}]}, seen, load_ontology(), Path("d.json")
    )
    assert (found.sample, found.file_name, found.instance) == ("s", "right.png", 2)


def one_instance(masks: Masks, prompt: int) -> Instances:
    picture = no_labels("", "", masks.size_hw).instances
    columns = {
        field.name: np.zeros((1, *np.shape(getattr(picture, field.name))[1:]), np.float32)
        for field in fields(Instances)
        if isinstance(getattr(picture, field.name), np.ndarray)
    }
    ids = {"instance_ids": 1, "prompt_ids": prompt, "class_ids": 1, "statuses": 0, "by_human": 0}
    columns |= {name: np.array([value], np.int32) for name, value in ids.items()}
    return replace(picture, **columns, reasons=((),), masks=masks, signals=unknown_signals(1))


@pytest.mark.slow
def test_people_s_decisions_fit_trust_again_and_fewer_do_not(
    tmp_path: Path, pictures: Callable[[Path, int], Path]
) -> None:
    source = pictures(tmp_path / "pictures", 48)  # 0, 1 and 2 objects in turn: 16 * 3
    run = label(LabelRequest(str(source), tmp_path / "run", "boxes", "bright")).folder
    spec = read_spec(run)
    rows = [
        said(one.id, int(instance), "accept" if instance == 1 else "reject")
        for one in read_labels(run)
        for instance in one.pictures[0].instances.instance_ids
    ]
    path = tmp_path / "decisions.json"
    head = {"run": spec.evidence_fingerprint(), "label_set": spec.label_set()}
    path.write_text(json.dumps(head | {"decisions": rows[:-6]}))
    applied = corrections.apply(run, path)
    assert "trust is fitted again: 42 checked labels" in applied.trust
    trusts = instances(run, "047.png").trusts  # nobody decided these: the second is darker
    assert trusts[0] > 0.8 and trusts[1] < 0.2
    assert instances(run, "002.png").trusts.tolist() == [1, 0]
    model = read_spec(run).trust
    assert model is not None and model.fitted.labels == 42 and model.accept_from is None
    path.write_text(json.dumps(head | {"decisions": rows[-6:]}))
    applied = corrections.apply(run, path)
    assert "48 checked labels" in applied.trust  # earlier files count too
    relabel(run, trust="none")
    path.write_text(json.dumps(head | {"decisions": rows[-1:]}))
    assert "48 checked labels" in corrections.apply(run, path).trust


@pytest.mark.slow
def test_samples_that_are_not_called_as_their_picture_are_decided_too(
    tmp_path: Path, kitti: Callable[[Path, int], Path]
) -> None:
    source = f"kitti:{kitti(tmp_path / 'kitti', 2)}"
    run = label(LabelRequest(source, tmp_path / "run", "boxes", "bright")).folder
    path = tmp_path / "edited.json"
    document = exported(run, path)
    first, second = document["annotations"]  # the car of each frame
    new = {**moved(second, 15), "id": 99}
    new.pop("instance_id")
    document["annotations"] = [moved(first, 2), second, new]
    path.write_text(json.dumps(document))
    applied = corrections.apply(run, path)
    assert applied.by_class == table(car={"edited": 1, "added": 1, "untouched": 1})
    assert instances(run, "000000").by_human.tolist() == [True]
    assert instances(run, "000001").by_human.tolist() == [False, True]


def test_damaged_corrections_are_said_and_not_forgotten(run: Path, decide: Decide) -> None:
    corrections.apply(run, decide(said("001.png", 1, "reject")))
    (stored,) = (run / "corrections").iterdir()
    stored.write_text("[]")
    with pytest.raises(RequestError, match="corrections"):
        relabel(run, overrides={"decide": {"judge": {"min_score": 0.5}}})
