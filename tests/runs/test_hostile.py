"""A run folder from somebody else, or from a damaged disk: every verb says what is wrong with it.

Seeded changes of each kind of file, with and without hashes that agree again, through every verb in
this process. PERCEPTION_FUZZ sets how many (2,000 take a few minutes), PERCEPTION_FUZZ_SEED another
seed.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perception import cli
from perception.commands import corrections, hygiene, trust
from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.core.errors import PerceptionError, RequestError
from perception.evaluation import evaluate
from perception.execution.effort import Done, Meter, See
from perception.execution.job import Job, Placement
from perception.execution.worker import Worker
from perception.review import command as pages
from perception.review import decisions, review
from perception.runs import folder, poison, records, shards
from perception.runs.status import read_status
from perception.runs.verify import verify

MUTATIONS = int(os.environ.get("PERCEPTION_FUZZ", "200"))
SEED = int(os.environ.get("PERCEPTION_FUZZ_SEED", "0"))
Random = random.Random


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, kitti: Callable[..., Path]) -> Path:
    """A folder with a run of three frames that was corrected, and what people decided of it."""
    base = tmp_path_factory.mktemp("hostile")
    source = kitti(base / "src", 3)
    (source / "training" / "image_2" / "000002.png").write_bytes(b"")

    def here(job: Job, indices: Iterable[int], placement: Placement, done: Done, seen: See) -> None:
        meter = Meter()
        worker = Worker(job, meter)
        for index in indices:
            seen = worker.observe(index, frozenset(), lambda place: None, ahead=False)
            worker.finish(index, seen)
            done(index, meter.lap())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perception.execution.local.run", here)
        run = label(
            LabelRequest(
                f"kitti:{source}",
                base / "run",
                "boxes",
                boxes="label_2",
                overrides={"shard_size": 2},
            )
        ).folder
    spec = folder.read_spec(run)
    decided = {
        "run": spec.evidence_fingerprint(),
        "label_set": spec.label_set(),
        "decisions": [{"sample": "000000", "instance": 1, "decision": "accept"}],
    }
    (base / "decided.json").write_text(json.dumps(decided))
    corrections.apply(run, base / "decided.json")
    poison.write(run, 1, 0, "signal 9")
    assert verify(run).faults == ()
    return base


def do_show(run: Path, out: Path) -> None:
    pages.show(run, out / "show", frames=2)


def do_evaluate(run: Path, out: Path) -> None:
    evaluate(run, "kitti")


def do_label(run: Path, out: Path) -> None:
    """What a resumed `label` reads before any model does."""
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    for index in range(len(plan)):
        poison.places(run, index)
        shards.shard_is_whole(run / "evidence", index)
    folder.begin(run, spec, plan)
    folder.finish(run, spec, plan)


Verb = Callable[[Path, Path], object]
VERBS: dict[str, Verb] = {
    "status": lambda run, out: read_status(run).lines(),
    "verify": lambda run, out: verify(run).lines(),
    "order": lambda run, out: trust.worst_first(run),
    "mix": lambda run, out: hygiene.class_mix(run).lines(),
    "relabel": lambda run, out: relabel(
        run, overrides={"decide": {"judge": {"min_score": 0.3}}}, workers=1
    ),
    "coco": lambda run, out: export(run, "coco", out / "coco.json"),
    "png": lambda run, out: export(run, "png", out / "png"),
    "kitti": lambda run, out: export(run, "kitti", out / "kitti"),
    "ply": lambda run, out: export(run, "ply", out / "ply"),
    "semantic": lambda run, out: export(run, "semantic-kitti", out / "points"),
    "show": do_show,
    "review": lambda run, out: review.review(run, out / "review"),
    "evaluate": do_evaluate,
    "corrections": lambda run, out: corrections.apply(run, run.parent / "decided.json"),
    "fit": lambda run, out: decisions.read_corrections(run, run.parent / "decided.json"),
    "label": do_label,
}

DEEP = "[" * 100_000 + "]" * 100_000
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 1.5, -1e30, 1e30, float("nan"), float("inf"), 10**30, 2**31, 2**63),
    *("", "x", "1_000", "\u0663", "../../../x", "/etc/passwd", "a\0b", "\ud800", "x" * 70_000),
    *([], {}, [1], [[]], {"a": 1}, ["x", None], {"": {"": []}}),
)


def change_json(value: Any, chance: Random) -> Any:
    """Change one place of a JSON value: another type, a key more or less."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, inner in items:
            places.append((node, key))
            if isinstance(inner, dict | list):
                collect(inner)

    top = [value]
    collect(top)
    node, key = chance.choice(places)
    kind = chance.random()
    if kind < 0.2:
        del node[key]
    elif kind < 0.3 and isinstance(node, dict):
        node[chance.choice(["", "extra", "\u0663", "../x"])] = chance.choice(STRANGE)
    elif kind < 0.35 and isinstance(node[key], int):
        node[key] = str(node[key])
    else:
        node[key] = chance.choice(STRANGE)
    return top[0] if top else None


def change_bytes(data: bytes, chance: Random) -> bytes:
    place = chance.randrange(len(data)) if data else 0
    return chance.choice(
        [
            lambda: data[:place],
            lambda: (
                data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
            ),
            lambda: data[:place] + chance.randbytes(chance.randrange(1, 9)) + data[place:],
            lambda: b"PK\3\4" + data[4:],
            lambda: b"",
            lambda: data + data,
            lambda: DEEP.encode(),
            lambda: b"\xff\xfe" + data,
        ]
    )()


def change_rows(path: Path, chance: Random) -> bytes:
    """Change a shard's rows: a value, the order, one more, one less."""
    table = pq.read_table(path)
    for _ in range(20):
        rows = table.to_pylist()
        kind, row = chance.random(), chance.randrange(len(rows))
        if kind < 0.08:
            chance.shuffle(rows)
        elif kind < 0.12:
            del rows[row]
        elif kind < 0.16:
            rows.insert(chance.randrange(len(rows)), rows[row])
        elif kind < 0.2:
            rows = []
        else:
            name = chance.choice(
                [name for name in table.schema.names if rows[row][name] is not None]
            )
            found = rows[row][name]
            value: Any = chance.choice(
                [None, float("nan"), 1e30, -1, 2**31 - 1, "", "../../x", b"", b"\0\0", b"0" * 9, []]
            )
            if isinstance(found, list) and found and chance.random() < 0.8:
                value = [*found[1:], value] if chance.random() < 0.7 else found[::-1]
            rows[row][name] = value
        sink = pa.BufferOutputStream()
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
        return bytes(sink.getvalue())
    return path.read_bytes()


def state(path: Path) -> None:
    """Let the JSON file beside a shard agree with it again."""
    stated = json.loads(path.with_suffix(".json").read_bytes())
    del stated["own_sha256"]
    data = path.read_bytes()
    stated |= {"bytes": len(data), "sha256": records.sha256(data)}
    own = records.sha256(records.to_json(stated))
    path.with_suffix(".json").write_bytes(records.to_json(stated | {"own_sha256": own}))


def change_spec(run: Path, **values: Any) -> None:
    summary = json.loads((run / "run.json").read_bytes())
    summary["spec"] |= values
    (run / "run.json").write_text(json.dumps(summary))


KINDS = (
    *("run.json", "plan", "stated", "rows", "rows", "rows", "parquet"),
    *("times", "lock", "corrections", "poison", "quarantine"),
)


def mutate(run: Path, chance: Random) -> str:
    """Change one file of a run; return what was done, for people."""
    kind = chance.choice(KINDS)
    if kind in {"rows", "parquet"}:
        path = chance.choice(sorted(run.rglob("*.parquet")))
        changed = (
            change_rows(path, chance) if kind == "rows" else change_bytes(path.read_bytes(), chance)
        )
        path.write_bytes(changed)
        if agrees := chance.random() < (0.9 if kind == "rows" else 0.5):
            state(path)
        return f"{kind} of {path.relative_to(run)}, hash agrees: {agrees}"
    name = {
        "run.json": "run.json",
        "plan": "plan.jsonl",
        "times": "timings.json",
        "lock": "lock.json",
        "quarantine": "quarantine.jsonl",
        "poison": "poison/000001-0000.json",
    }.get(kind, "")
    folders = {"stated": ("evidence", "labels"), "corrections": ("corrections",)}.get(kind, ())
    choices = [run / name] if name else []
    choices += [path for one in folders for path in sorted((run / one).rglob("*.json"))]
    path = chance.choice(choices)
    data = path.read_bytes() if path.exists() else b'{"host": "h", "pid": 1}'
    if chance.random() < 0.3 or kind == "quarantine":
        changed = change_bytes(data, chance)
    elif kind == "plan":
        lines = data.splitlines()
        place = chance.randrange(len(lines))
        lines[place] = json.dumps(change_json(json.loads(lines[place]), chance)).encode()
        changed = b"\n".join(lines) + b"\n"
    else:
        changed = json.dumps(change_json(json.loads(data), chance)).encode()
    path.write_bytes(changed)
    if kind == "plan" and chance.random() < 0.9:
        change_spec(run, plan_sha256=records.sha256(changed))
    if kind == "corrections" and chance.random() < 0.9:
        digest = records.sha256(changed)
        path.rename(path.with_name(f"{digest[:12]}.json"))
        change_spec(run, corrections=digest)
    if kind == "stated" and chance.random() < 0.9:
        try:
            stated = json.loads(changed)
            own = {name: value for name, value in stated.items() if name != "own_sha256"}
            stated["own_sha256"] = records.sha256(records.to_json(own))
            path.write_text(json.dumps(stated))
        except (ValueError, AttributeError, TypeError, RecursionError):
            pass  # it is no JSON any more, or none of ours: nothing to agree with
    return f"{path.relative_to(run)}: {changed[:200]!r}"


@pytest.mark.slow
def test_row_42_no_change_of_a_run_folder_ends_in_a_traceback(
    whole: Path,
    tmp_path: Path,
    snapshot: Callable[[Path], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)  # waits for the disk, and finds nothing
    chance, refused = Random(SEED), 0
    source = snapshot(whole / "src")
    for number in range(MUTATIONS):
        place = tmp_path / str(number)
        shutil.copytree(whole / "run", place / "run")
        shutil.copy(whole / "decided.json", place / "decided.json")
        done = mutate(place / "run", chance)
        verb = chance.choice([*VERBS])
        try:
            VERBS[verb](place / "run", place / "out")
            left_out = place / "run" / "quarantine.jsonl"
            assert verb != "relabel" or b"internal.error" not in left_out.read_bytes(), done
        except PerceptionError as error:
            refused += 1
            assert verb != "verify" or "is this a run folder" in error.message, done
            assert error.code != "shape.invalid" and len(error.message) < 2000, (done, error)
        except Exception as error:
            error.add_note(f"mutation {number} of seed {SEED}: {verb} after {done}")
            raise
        assert {path.name for path in place.iterdir()} <= {"run", "out", "decided.json"}, done
        shutil.rmtree(place)
    assert refused > MUTATIONS / 4
    assert snapshot(whole / "src") == source and [*tmp_path.iterdir()] == []


def plan_line(run: Path, **values: Any) -> None:
    """Change the first sample of a plan; its hash agrees again."""
    lines = (run / "plan.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    lines[0] = json.dumps(first | values)
    data = ("\n".join(lines) + "\n").encode()
    (run / "plan.jsonl").write_bytes(data)
    change_spec(run, plan_sha256=records.sha256(data))


def cell(run: Path, name: str, value: Any, *, place: int = -1, within: str = "evidence") -> None:
    """Change a value in the last row of the first shard that has one; the hashes agree again."""
    path = next(iter(sorted((run / within).rglob("000000.parquet"))))
    table = pq.read_table(path)
    rows = table.to_pylist()
    row = [row for row in rows if row[name] is not None][-1]
    if isinstance(row[name], list) and not isinstance(value, list) and value is not None:
        row[name][place] = value
    else:
        row[name] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    state(path)


def order_of_rows(run: Path, order: Callable[[list[Any]], list[Any]], within: str) -> None:
    path = next(iter(sorted((run / within).rglob("000000.parquet"))))
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(order(table.to_pylist()), schema=table.schema), path)
    state(path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(bytes(data))


def summary(run: Path, change: Callable[[Any], object]) -> None:
    document = json.loads((run / "run.json").read_bytes())
    change(document)
    (run / "run.json").write_text(json.dumps(document))


def current(run: Path) -> Path:
    return run / "labels" / folder.read_spec(run).label_set()


def stated(run: Path, change: Callable[[Any], object]) -> None:
    path = current(run) / "000000.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


READ = ("status", "order", "coco", "relabel", "show", "review", "evaluate")
LABELS = ("order", "mix", "coco", "png", "review", "evaluate")
# What was changed, the verbs that read it, and what they must say.
KNOWN: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "id is a number": (lambda r: plan_line(r, id=3), READ, r"plan.jsonl:1: id: found 3, expected"),
    "id leads out": (lambda r: plan_line(r, id="../../x"), READ, r"id: found '../../x', expected"),
    "id is absolute": (lambda r: plan_line(r, id="/x"), READ, "expected a relative path"),
    "root is a list": (lambda r: plan_line(r, root=["/"]), READ, r"root: found \['/'\], expected"),
    "root is relative": (lambda r: plan_line(r, root="x"), READ, "root: .*an absolute path"),
    "layout is null": (lambda r: plan_line(r, layout=None), READ, "layout: found None, expected"),
    "layout is unknown": (lambda r: plan_line(r, layout="x"), ("relabel",), "no layout 'x'"),
    "sweep is a number": (lambda r: plan_line(r, sweep_file=1), READ, "sweep_file: found 1"),
    "calib is text": (lambda r: plan_line(r, calib_files="a"), READ, "calib_files: found 'a'"),
    "another picture than was seen": (
        lambda r: plan_line(r, pictures=[{"camera": "image_2", "file_name": "../../../x.png"}]),
        ("order", "relabel", "show", "coco"),
        "pictures: found .*expected the plan's 1",
    ),
    "camera leads out": (
        lambda r: plan_line(r, pictures=[{"camera": "../../a", "file_name": "a.png"}]),
        READ,
        "pictures.0.camera",
    ),
    "id comes twice": (
        lambda r: plan_line(r, id="000001"),
        READ,
        "plan.jsonl:2: id: found '000001', expected each sample once",
    ),
    "camera comes twice": (
        lambda r: plan_line(r, pictures=[{"camera": "image_2", "file_name": "a.png"}] * 2),
        READ,
        r"pictures: found \['image_2', 'image_2'\], expected each camera once",
    ),
    "plan is deep": (lambda r: (r / "plan.jsonl").write_text(DEEP), READ, "not the plan"),
    "run.json is deep": (
        lambda r: (r / "run.json").write_text(DEEP),
        READ,
        "run.json: is not JSON",
    ),
    "text for a number": (
        lambda r: summary(r, lambda d: d["spec"]["config"].update(shard_size="1_0")),
        READ,
        "spec.config.shard_size: found '1_0', expected a valid integer",
    ),
    "digits of another script": (
        lambda r: summary(r, lambda d: d["counts"]["samples"].update(ok="\u0663")),
        READ,
        "counts.samples.ok: found '\u0663', expected a valid integer",
    ),
    "corrections lead out": (
        lambda r: change_spec(r, corrections="../../x"),
        ("relabel", "coco"),
        "spec.corrections",
    ),
    "sha256 is missing": (lambda r: stated(r, lambda d: d.pop("sha256")), LABELS, "found nothing"),
    "counts are a list": (
        lambda r: stated(r, lambda d: d.update(counts=[])),
        ("status", "order"),
        r"000000.json: counts: found \[\], expected",
    ),
    "stated is deep": (
        lambda r: (current(r) / "000000.json").write_text(DEEP),
        ("status", "order", "mix"),
        "is not JSON",
    ),
    "one flipped digit of a count": (
        lambda r: stated(r, lambda d: d["samples"].update(ok=7)),
        ("status", "order"),
        "own_sha256: found",
    ),
    "times are text": (
        lambda r: (r / "timings.json").write_text('{"seconds": "x"}'),
        ("status", "show"),
        "timings.json: seconds: found 'x', expected a valid number; delete it",
    ),
    "labels flipped": (
        lambda r: flip(current(r) / "000000.parquet"),
        (*LABELS, "show"),
        "not what its JSON file says",
    ),
    "evidence flipped": (
        lambda r: flip(r / "evidence" / "000000.parquet"),
        ("relabel",),
        "not what its JSON file says",
    ),
    "no Parquet": (
        lambda r: [
            (r / "evidence" / "000000.parquet").write_bytes(b"PK"),
            state(r / "evidence" / "000000.parquet"),
        ],
        ("relabel",),
        "cannot be read as Parquet",
    ),
    "box is null": (
        lambda r: cell(r, "box_xyxy", None),
        ("relabel",),
        "row .*box_xyxy: found None",
    ),
    "box is NaN": (lambda r: cell(r, "box_xyxy", float("nan")), ("relabel",), "box_xyxy: found"),
    "box is far out": (lambda r: cell(r, "box_xyxy", 1e30), ("relabel",), "box_xyxy: found"),
    "box is inverted": (lambda r: cell(r, "box_xyxy", 0.0), ("relabel",), "x0 <= x1"),
    "mask is null": (lambda r: cell(r, "mask_xyxy", None), ("relabel",), "mask_xyxy: found None"),
    "mask is out": (lambda r: cell(r, "mask_xyxy", 9999), ("relabel",), "does not lie in"),
    "runs are cut": (lambda r: cell(r, "mask_counts", b"P"), ("relabel",), "mask_counts: "),
    "cells are null": (
        lambda r: cell(r, "cells_xyxy", None),
        ("relabel",),
        "cells_xyxy: found None",
    ),
    "width is null": (lambda r: cell(r, "width", None), ("relabel",), "width: found None"),
    "width is negative": (lambda r: cell(r, "width", -1), ("relabel",), "width: found -1"),
    "picture is huge": (lambda r: cell(r, "width", 2**28), ("relabel",), "width, height: found"),
    "dropped is null": (lambda r: cell(r, "dropped", None), ("relabel",), "dropped: found None"),
    "a class is null": (lambda r: cell(r, "class_name", None), ("relabel",), "class_name: found"),
    "score is infinite": (
        lambda r: cell(r, "score", float("inf")),
        ("relabel",),
        "score: found inf, expected a finite number",
    ),
    "ignored is null": (
        lambda r: cell(r, "ignored", None, within=f"labels/{current(r).name}"),
        LABELS,
        "ignored: found None",
    ),
    "a class that the run has not": (
        lambda r: cell(r, "class_id", 77, within=f"labels/{current(r).name}"),
        LABELS,
        "class_id: found 77, expected one of the ontology",
    ),
    "a status that is none": (
        lambda r: cell(r, "instance_status", 9, within=f"labels/{current(r).name}"),
        LABELS,
        "instance_status: found 9, expected 0 to 2",
    ),
    "points are cut": (
        lambda r: cell(r, "point_states", b"\0", within=f"labels/{current(r).name}"),
        LABELS,
        "point_states: found '1 bytes', expected",
    ),
    "another picture": (
        lambda r: cell(r, "file_name", "../../x.png", within=f"labels/{current(r).name}"),
        LABELS,
        "pictures: found",
    ),
    "rows are shuffled": (
        lambda r: order_of_rows(r, lambda rows: rows[::-1], "evidence"),
        ("relabel",),
        "row 0: kind: found 'instance', expected sample, then picture",
    ),
    "a picture before its sample": (
        lambda r: order_of_rows(r, lambda rows: rows[1:], "evidence"),
        ("relabel",),
        "row 0: kind: found 'picture'",
    ),
    "an instance before its picture": (
        lambda r: order_of_rows(r, lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "evidence"),
        ("relabel",),
        "row 1: kind: found 'instance', expected sample, then picture",
    ),
    "a reason without quarantine": (
        lambda r: cell(r, "code", "image.empty"),
        ("relabel",),
        "code: found 'image.empty', expected one where a sample is quarantined alone",
    ),
    "no rows": (lambda r: order_of_rows(r, lambda rows: [], "evidence"), ("relabel",), "0 samples"),
    "samples change places": (
        lambda r: order_of_rows(r, lambda rows: [*rows[3:], *rows[:3]], "evidence"),
        ("relabel",),
        "not the plan's 2 in their order",
    ),
    "a poison that says nothing": (
        lambda r: (r / "poison" / "000001-0000.json").write_text("[]"),
        ("label",),
        "poison/000001-0000.json",
    ),
}


@pytest.fixture
def hostile(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole / "run", tmp_path / "run")
    shutil.copy(whole / "decided.json", tmp_path / "decided.json")
    return tmp_path / "run"


@pytest.mark.parametrize("name", KNOWN)
def test_row_42_each_verb_names_what_is_wrong(
    hostile: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)
    change, verbs, words = KNOWN[name]
    change(hostile)
    assert verify(hostile).faults or "label" in verbs or "unknown" in name
    for verb in verbs:
        with pytest.raises(RequestError, match=words) as caught:
            VERBS[verb](hostile, tmp_path / "out" / verb)
        assert caught.value.code in {"run.damaged", "source.unknown"}, verb
        assert "\n" not in caught.value.message


def test_row_42_the_command_says_it_in_one_line_and_ends_with_2(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_line(hostile, root=3)
    for words in (["status"], ["relabel"], ["export", "--to", "coco"], ["trust", "order"]):
        options = ["--out", str(tmp_path / "o")] if "--to" in words else []
        verb = words[:2] if words[0] == "trust" else words[:1]
        rest = words[len(verb) :]
        assert cli.run([*verb, str(hostile), *rest, *options]) == cli.USAGE
        said = capsys.readouterr().err
        assert "run.damaged" in said and "Traceback" not in said
    assert cli.run(["verify", str(hostile)]) == cli.QUARANTINED
    assert "root: found 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names",
    [
        {"sweep_file": "training/../../mine.bin"},
        {"sweep_file": "/etc/passwd"},
        {"calib_files": ["../../mine.txt"]},
    ],
    ids=str,
)
def test_row_42_a_plan_leads_no_read_out_of_its_root(hostile: Path, names: dict[str, Any]) -> None:
    plan_line(hostile, **names)
    found = relabel(hostile, overrides={"decide": {"judge": {"min_score": 0.3}}})
    assert found.counts["quarantined_by"] == {"image.empty": 1, "path.outside_root": 1}


@pytest.mark.parametrize("name", ["preview", "labels", "evidence", "corrections"])
def test_row_42_a_link_in_the_run_leads_no_write_out_of_it(
    hostile: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "mine"
    (hostile / name).rename(outside)
    (hostile / name).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(RequestError, match="remove the link") as caught:
        VERBS["relabel"](hostile, tmp_path)
    assert caught.value.code == "path.outside_root"
    assert sorted(outside.rglob("*")) == before


@pytest.mark.slow
def test_row_42_a_link_below_the_previews_leads_no_write_out(
    hostile: Path, tmp_path: Path, draw: Callable[..., Path]
) -> None:
    draw(tmp_path / "src" / "a" / "x.png", (4, 8, 20, 30, 255))
    source = f"images:{tmp_path / 'src'}"
    run = label(LabelRequest(source, tmp_path / "r", "boxes", "bright")).folder
    shutil.rmtree(run / "preview" / "a")
    (tmp_path / "mine").mkdir()
    (run / "preview" / "a").symlink_to(tmp_path / "mine")
    with pytest.raises(RequestError, match="remove the link"):
        VERBS["relabel"](run, tmp_path)
    assert [*(tmp_path / "mine").iterdir()] == []


def test_row_42_what_is_no_file_is_not_waited_for(hostile: Path) -> None:
    os.rename(hostile / "run.json", hostile / "was")  # noqa: PTH104
    os.mkfifo(hostile / "run.json")
    with pytest.raises(RequestError, match=r"run\.json: is no file"):
        read_status(hostile)
    (hostile / "run.json").unlink()
    (hostile / "run.json").symlink_to("/dev/zero")
    with pytest.raises(RequestError, match=r"run\.json: is no file"):
        read_status(hostile)
