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

from perception import calibrate, commands, corrections, decisions, hygiene
from perception.engine.effort import Done, Meter
from perception.engine.job import Job, Placement
from perception.engine.worker import Worker
from perception.errors import PerceptionError
from perception.evaluate import evaluate
from perception.pages import command as pages
from perception.pages import review
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

    def here(job: Job, indices: Iterable[int], placement: Placement, done: Done) -> None:
        meter = Meter()
        worker = Worker(job, meter)
        for index in indices:
            seen = worker.observe(index, frozenset(), lambda place: None, ahead=False)
            worker.finish(index, seen)
            done(index, meter.lap())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perception.engine.local.run", here)
        run = commands.label(
            commands.LabelRequest(
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
    "order": lambda run, out: calibrate.worst_first(run),
    "mix": lambda run, out: hygiene.class_mix(run).lines(),
    "relabel": lambda run, out: commands.relabel(
        run, overrides={"decide": {"judge": {"min_score": 0.3}}}, workers=1
    ),
    "coco": lambda run, out: commands.export(run, "coco", out / "coco.json"),
    "png": lambda run, out: commands.export(run, "png", out / "png"),
    "kitti": lambda run, out: commands.export(run, "kitti", out / "kitti"),
    "ply": lambda run, out: commands.export(run, "ply", out / "ply"),
    "semantic": lambda run, out: commands.export(run, "semantic-kitti", out / "points"),
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
