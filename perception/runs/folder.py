"""A run folder as a whole: its plan, its settings and fingerprint, and what it has so far.

Resume asks the folder what it has; there is no state file. `run.json` holds no clock, so that two
runs with the same settings are the same bytes; times go to `timings.json`.
"""

import importlib.metadata
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from perception.core.config import Config, DecideConfig, ModelSpec, Settings
from perception.core.errors import RequestError
from perception.core.ontology import ClassMap, Ontology
from perception.core.types import SampleLabels
from perception.core.version import __version__
from perception.io.files import TEMPORARY, remove_temporaries, write_bytes
from perception.labeling.trust.model import TrustModel
from perception.runs import evidence, labels, records, shards
from perception.runs import plan as plan_
from perception.runs.lock import LOCK
from perception.runs.plan import Plan as Plan  # a run's, for all who know the run
from perception.runs.shards import STATUSES, Outcome, Tallies

LIBRARIES = (
    "numpy",
    "opencv-python",
    "torch",
    "ultralytics",
    "onnxruntime",
    "openvino",
    "pycocotools",
)
SHOWN = 12  # differences of a refused run
NAMED = 3  # samples that stand for all that are more, or fewer
SETTINGS, PLAN = "run.json", "plan.jsonl"
VERSION = r"[0-9][0-9A-Za-z.+!-]{0,40}"  # PEP 440, roughly
DIGEST = r"^([0-9a-f]{64})?$"


class RunSpec(Settings):
    """Everything that the bytes of a run depend on: hashed, it is the run's fingerprint."""

    code_version: str = __version__
    libraries: dict[str, str]
    source: str
    source_licence: str
    plan_sha256: str
    detector: ModelSpec
    segmenter: ModelSpec
    second: ModelSpec | None = None  # asked for a second opinion
    config: Config
    ontology: Ontology
    class_map: ClassMap
    trust: TrustModel | None = None
    # sha256 of `corrections/<hash12>.json`; "" where nobody corrected
    corrections: str = Field(default="", pattern=DIGEST)
    decided_with: str = ""  # version of the code that decided, if not `code_version`, which saw

    def models(self) -> dict[str, ModelSpec]:
        """Return what looked at the images, by its part."""
        found = {"detector": self.detector, "segmenter": self.segmenter}
        return found | ({"second_opinion": self.second} if self.second else {})

    def class_ids(self) -> frozenset[int]:
        """Return the ids that labels may have."""
        return frozenset(entry.id for entry in self.ontology.classes)

    def fingerprint(self) -> str:
        """Return the sha256 of the canonical form."""
        unchanged = set() if self.decided_with else {"decided_with"}  # runs of before have none
        return records.sha256(records.to_json(self.model_dump(mode="json", exclude=unchanged)))

    def evidence_fingerprint(self) -> str:
        """Return the sha256 of what the evidence depends on: it outlives every decision."""
        decided = {"trust", "corrections", "class_map", "decided_with"}
        stated = self.model_dump(mode="json", exclude=decided)
        del stated["config"]["decide"]
        return records.sha256(records.to_json(stated))

    def label_set(self) -> str:
        """Return the name of the label set that these settings decide: 12 hex digits."""
        decided = {
            "code_version": self.decided_with or self.code_version,
            "decide": self.config.decide.model_dump(mode="json"),
            "ontology": self.ontology.model_dump(mode="json"),
            "class_map": self.class_map.model_dump(mode="json"),
            "trust": self.trust and self.trust.model_dump(mode="json"),
            "corrections": self.corrections,
        }
        return records.sha256(records.to_json(decided))[:12]

    def decided_here(self) -> "RunSpec":
        """Return the same run, decided by the code that is running: another decides otherwise."""
        here = "" if self.code_version == __version__ else __version__
        return self.model_copy(update={"decided_with": here})

    def with_decisions(self, decide: DecideConfig, class_map: ClassMap) -> "RunSpec":
        """Return the same run, decided otherwise."""
        config = self.config.model_copy(update={"decide": decide})
        return self.model_copy(update={"config": config, "class_map": class_map})


def installed_libraries() -> dict[str, str]:
    """Return the versions of the libraries whose numbers end up in a run; nothing is imported."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


class Summary(Settings):
    """What `run.json` holds.

    Attributes:
        fingerprint: Of `spec`.
        spec: The settings.
        labels: The current label set.
        asked: The label set of the decisions that `label` was last asked for; a relabelling does
            not change it.
        licences: Of source and models.
        counts: See `finish`; None until the run is complete.
    """

    fingerprint: str
    spec: RunSpec
    labels: str
    asked: str = ""
    licences: dict[str, str]
    counts: dict[str, dict[str, int]] | None

    @model_validator(mode="after")
    def _classes_known(self) -> Self:
        known = {entry.name for entry in self.spec.ontology.classes}
        ids = {entry.id for entry in self.spec.ontology.classes}
        if not len(known) == len(ids) == len(self.spec.ontology.classes):
            raise ValueError("spec.ontology.classes: a name or an id comes twice")
        if any(not 0 <= number < 1 << 31 for number in ids):
            raise ValueError("spec.ontology.classes: an id is out of 0 to 2147483647")
        return self

    @field_validator("counts")
    @classmethod
    def _samples_counted(
        cls, counts: dict[str, dict[str, int]] | None
    ) -> dict[str, dict[str, int]] | None:
        missing = {"samples", "quarantined_by", "statuses", "classes_accepted"} - {*(counts or ())}
        if counts is not None and missing:
            raise ValueError(f"found no {min(missing)!r}, expected it")
        if counts is not None and counts["samples"].keys() != {"input", *STATUSES}:
            expected = ", ".join(("input", *STATUSES))
            raise ValueError(f"samples: found {sorted(counts['samples'])}, expected {expected}")
        return counts


_SUMMARIES = TypeAdapter(Summary)


def read_plan(run: Path, spec: RunSpec) -> Plan:
    """Read `plan.jsonl`; raises as `plan.read`."""
    return plan_.read(run / PLAN, spec.plan_sha256, spec.config.shard_size)


def read_summary(run: Path) -> Summary:
    """Read `run.json`.

    Raises:
        RequestError: `run.damaged` for what is no run; `run.version` for one of another version
            whose form was another.
    """
    path = run / SETTINGS
    try:
        return records.read(path, _SUMMARIES, "is this a run folder?")
    except RequestError:
        _refuse_version(path)
        raise


def _refuse_version(path: Path) -> None:
    """Refuse settings that another version wrote, `run.version`."""
    stated = None
    with suppress(RequestError):  # no JSON: whoever asked says it
        stated = records.read_json(path)
    spec = stated.get("spec") if isinstance(stated, dict) else None
    version = spec.get("code_version") if isinstance(spec, dict) else None
    if isinstance(version, str) and re.fullmatch(VERSION, version) and version != __version__:
        raise RequestError(
            "run.version",
            f"{path}: was made by driving-perception {version}, and {__version__} does not read "
            "its form; label again into another folder, or read it with "
            f"pip install driving-perception=={version}",
        )


def evidence_fingerprints(run: Path, spec: RunSpec) -> Iterator[str]:
    """Yield the fingerprint of a run's evidence, then those that it had before it grew."""
    yield spec.evidence_fingerprint()
    for sha256 in plan_.earlier(read_plan(run, spec)):
        yield spec.model_copy(update={"plan_sha256": sha256}).evidence_fingerprint()


def read_spec(run: Path) -> RunSpec:
    """Read the settings of a run from its `run.json`; raises as `read_summary`."""
    return read_summary(run).spec


def begin(run: Path, spec: RunSpec, plan: Plan, asked: str = "") -> None:
    """Open a run folder: a new one, the same run again, or one that grows.

    Args:
        run: The folder.
        spec: Its settings.
        plan: Its samples; of a run that is there they are the first.
        asked: See `Summary`; by default the label set of `spec`.

    Raises:
        RequestError: `run.mismatch` if the folder holds a run with another fingerprint, showing the
            difference; `run.occupied` if it holds something else.
    """
    remove_temporaries(run)
    refuse_other(run, spec, plan)
    if (run / "run.json").exists():
        stored = run / "plan.jsonl"
        same_plan = stored.is_file() and stored.read_bytes() == plan.to_bytes()
        if same_plan and read_spec(run).fingerprint() == spec.fingerprint():
            return
    else:
        refuse_occupied(run)
    write_bytes(run / "plan.jsonl", plan.to_bytes())
    write_summary(run, spec, None, asked or spec.label_set())


def refuse_other(run: Path, spec: RunSpec, plan: Plan) -> None:
    """Refuse to go on with a run that was made otherwise, `run.mismatch`, showing how.

    One without a shard is no work yet: nothing there can be mixed up.
    """
    if (run / "run.json").exists() and any(evidence.folder_of(run).glob("*.json")):
        _refuse_difference(run, spec, plan)


def take_back(run: Path) -> None:
    """Remove a run that was begun and refused: it has no shard, and found no ill sample."""
    if (run / "run.json").exists() and not any(
        any(place.glob("*.json")) for place in (evidence.folder_of(run), run / "poison")
    ):
        discard(run)


def refuse_occupied(run: Path) -> None:
    """Refuse a folder with something else in it, `run.occupied`: not even a lock goes there."""
    ours = {"run.json", "plan.jsonl", LOCK}
    if not run.is_dir() or (run / "run.json").exists():
        return
    if any(path.name not in ours and TEMPORARY not in path.name for path in run.iterdir()):
        raise RequestError(
            "run.occupied", f"{run}: is not empty and holds no run; choose another --out"
        )


def discard(run: Path) -> None:
    """Delete a run; its run.json last, so that what a killed deletion leaves is still a run."""
    for path in sorted(run.iterdir()):
        if path.name in {"run.json", LOCK}:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    (run / "run.json").unlink()


def _refuse_difference(run: Path, spec: RunSpec, plan: Plan) -> None:
    there = read_spec(run)
    if there.fingerprint() == spec.fingerprint() or _grows(run, there, spec, plan):
        return
    old, new = (_flat(one.model_dump(mode="json")) for one in (there, spec))
    samples = _samples_that_differ(run, there, spec, plan)
    changed = [
        f"{key}: {old.get(key, 'nothing')!r} there, {new.get(key, 'nothing')!r} asked for"
        for key in sorted(old | new)
        if old.get(key) != new.get(key) and key != "plan_sha256"
    ]
    other = "settings" if changed else "samples"
    changed = samples + changed
    more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    lines = changed[:SHOWN] + more
    shown = "\n  ".join(["", *lines]) + "\n" if len(lines) > 1 else f" {lines[0]}; "
    raise RequestError(
        "run.mismatch",
        f"{run} was made with other {other}:{shown}use --new-run to label all of them into "
        "another run beside it, --overwrite to discard this one, or `perception relabel` where "
        "only decisions change",
    )


def _grows(run: Path, there: RunSpec, spec: RunSpec, plan: Plan) -> bool:
    """Tell whether a run differs only by samples that follow those that it has."""
    same = there.model_copy(update={"plan_sha256": spec.plan_sha256})
    if same.fingerprint() != spec.fingerprint():
        return False
    try:
        stored = read_plan(run, there)
    except RequestError:
        return False
    return stored.grown(plan.samples[len(stored.samples) :]) == plan


def _samples_that_differ(run: Path, there: RunSpec, spec: RunSpec, plan: Plan) -> list[str]:
    if there.plan_sha256 == spec.plan_sha256:
        return []
    try:
        return _plan_difference(read_plan(run, there), plan)
    except RequestError:
        return ["samples: other ones; the run's own plan is damaged"]


def _plan_difference(old: Plan, new: Plan) -> list[str]:
    """Say which samples a plan has, and another has not; else how they are described."""
    there, asked = ({ref.id: ref for ref in plan.samples} for plan in (old, new))
    said = []
    for only, words in (
        ([name for name in asked if name not in there], "more than the run"),
        ([name for name in there if name not in asked], "fewer than the run"),
    ):
        if only:
            more = ", ..." if len(only) > NAMED else ""
            noun = "sample" if len(only) == 1 else "samples"
            said.append(f"{len(only)} {noun} {words}: {', '.join(only[:NAMED])}{more}")
    first = next((name for name in there if asked.get(name, there[name]) != there[name]), None)
    if first is not None:
        before, after = asdict(there[first]), asdict(asked[first])
        said += [
            f"{first}: {key}: {before[key]!r} there, {after[key]!r} asked for"
            for key in before
            if before[key] != after[key]
        ]
    return said


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Return nested values by dotted key."""
    if not isinstance(value, dict):
        return {key: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{key}.{name}" if key else name)
    return flat


def write_summary(run: Path, spec: RunSpec, counts: dict[str, Any] | None, asked: str = "") -> None:
    """Write `run.json`.

    Args:
        run: The run folder.
        spec: Its settings.
        counts: None until the run is complete.
        asked: See `Summary`; by default what the file says.
    """
    if not asked and (run / SETTINGS).exists():
        asked = read_summary(run).asked
    records.write_json(
        run / "run.json",
        {
            "fingerprint": spec.fingerprint(),
            "spec": spec.model_dump(mode="json"),
            "labels": spec.label_set(),
            "asked": asked or spec.label_set(),
            "licences": {
                "source": spec.source_licence,
                **{name: model.licence for name, model in spec.models().items()},
            },
            "counts": counts,
        },
    )


def finish(run: Path, spec: RunSpec, plan: Plan) -> dict[str, Any]:
    """Sum up a run whose shards are all there: `quarantine.jsonl` and the counts in `run.json`.

    Returns:
        The counts: samples by status, tallies by group, quarantined samples by reason.
    """
    counts, quarantine = sum_up(run, spec, plan)
    remove_temporaries(run)  # a worker may have outlived the driver that was killed
    with suppress(OSError):  # none, or not empty
        evidence.partial_folder_of(run).rmdir()
    write_bytes(run / "quarantine.jsonl", quarantine)
    write_summary(run, spec, counts)
    return counts


def sum_up(run: Path, spec: RunSpec, plan: Plan) -> tuple[dict[str, Any], bytes]:
    """Return the counts of a run whose shards are all there, and its `quarantine.jsonl`."""
    tallies: Tallies = {}
    quarantine: list[dict[str, str]] = []
    samples = {"input": len(plan.samples), "ok": 0, "empty": 0, "quarantined": 0}
    decided = labels.folder_of(run, spec.label_set())
    for index in range(len(plan)):
        by_status, shard_tallies = shards.stated_counts(decided, index)
        for name, count in by_status.items():
            samples[name] += count
        shards.add_tallies(tallies, shard_tallies)
        shards.add_tallies(tallies, shards.stated_counts(evidence.folder_of(run), index)[1])
        if by_status["quarantined"]:
            quarantine.extend(quarantined_in(run, spec, plan, index))
    by_code: dict[str, int] = {}
    for row in quarantine:
        by_code[row["code"]] = by_code.get(row["code"], 0) + 1
    lines = (json.dumps(row, sort_keys=True, ensure_ascii=False) for row in quarantine)
    counts = {"samples": samples, "quarantined_by": by_code, **tallies}
    return counts, "".join(f"{line}\n" for line in lines).encode()


def quarantined_in(run: Path, spec: RunSpec, samples: Plan, index: int) -> list[dict[str, str]]:
    """Return the rows of `quarantine.jsonl` that one shard of the current label set gives."""
    return [
        {
            "sample_id": outcome.sample_id,
            "stage": outcome.stage,
            "code": outcome.code,
            "message": outcome.message,
        }
        for outcome in labels.read_outcomes(run, spec.label_set(), index, samples.shard(index))
        if outcome.status == "quarantined"
    ]


def read_counts(run: Path) -> Tallies:
    """Return the counts of a finished run, see `finish`.

    Raises:
        RequestError: `run.incomplete` if the run has not finished.
    """
    counts = read_summary(run).counts
    if counts is None:
        raise RequestError(
            "run.incomplete", f"{run}: has not finished; run `label` again to resume"
        )
    return counts


def read_labels(run: Path, label_set: str = "") -> Iterator[tuple[Outcome, SampleLabels]]:
    """Yield every sample of a label set, the current one by default, in the order of the plan.

    Raises:
        RequestError: `run.incomplete` if the run has not finished, `run.damaged` for no such set.
    """
    spec = read_spec(run)
    read_counts(run)
    samples = read_plan(run, spec)
    for index in range(len(samples)):
        yield from read_shard(run, spec, samples, index, label_set)


def read_shard(
    run: Path, spec: RunSpec, samples: Plan, index: int, label_set: str = ""
) -> Iterator[tuple[Outcome, SampleLabels]]:
    """Yield the samples of one shard of a label set, the current one by default.

    Raises:
        RequestError: `run.damaged`, see `labels.read`.
    """
    name = label_set or spec.label_set()
    yield from labels.read(run, name, index, samples.shard(index), spec.class_ids())


def usable_labels(run: Path) -> Iterator[SampleLabels]:
    """Yield the labels of every sample that was not quarantined; see `read_labels`."""
    for outcome, sample in read_labels(run):
        if outcome.status != "quarantined":
            yield sample
