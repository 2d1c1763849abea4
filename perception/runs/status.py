"""How far a run is, asked of its folder: while it works, after it stopped, or finished."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perception.core.progress import clock
from perception.runs import labels, lock, shards, timings
from perception.runs.folder import quarantined_in, read_plan, read_summary
from perception.runs.shards import Tallies


@dataclass(frozen=True)
class RunStatus:
    """How far a run is; what is not known is None.

    Attributes:
        state: "running", "stopped" (the same command resumes it) or "finished".
        holder: Who works on it, or ""; a lock that cannot be proven stale counts as working.
        samples: Samples in all and done, and of these ok, empty and quarantined.
        quarantined_by: Quarantined samples by reason code.
        images_per_s: Of the last call of `label`, lately while it runs.
        seconds_left: At that speed.
        busy_share: Of the workers' time, spent inside the models.
        acceptance_rate: Accepted instances among all.
        classes_accepted: Accepted instances by class.
        statuses: Instances by status.
        worker_peak_bytes: Largest resident memory of a worker.
    """

    state: str
    holder: str
    samples: dict[str, int]
    quarantined_by: dict[str, int]
    images_per_s: float | None
    seconds_left: float | None
    busy_share: float | None
    acceptance_rate: float | None
    classes_accepted: dict[str, int]
    statuses: dict[str, int]
    worker_peak_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Say it to people."""
        samples, speed = self.samples, []
        if self.images_per_s:
            speed.append(f"{self.images_per_s:.3g} images/s")
        if self.seconds_left is not None:
            speed.append(f"{clock(self.seconds_left)} left")
        if self.busy_share is not None:
            speed.append(f"models busy {self.busy_share:.0%}")
        if self.worker_peak_bytes:
            speed.append(f"{self.worker_peak_bytes / 1e9:.2f} GB a worker")
        lines = [
            f"{self.state}{f' by {self.holder}' if self.holder else ''}: "
            f"{samples['done']} of {samples['input']} samples, {samples['ok']} ok, "
            f"{samples['empty']} empty, {samples['quarantined']} quarantined",
            ", ".join(speed),
            _listed("quarantined", self.quarantined_by),
            _listed("statuses", self.statuses)
            + (f"; {self.acceptance_rate:.0%} accepted" if self.acceptance_rate else ""),
            _listed("classes accepted", self.classes_accepted),
        ]
        return [line for line in lines if line]


def _listed(title: str, counts: dict[str, int]) -> str:
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{title}: {listed}" if listed else ""


def read_status(run: Path) -> RunStatus:
    """Read how far a run is; only the small JSON files, and the shards with quarantined samples.

    Raises:
        RequestError: `run.damaged` if the folder is no run, or what is read of it is damaged.
    """
    summary = read_summary(run)
    spec = summary.spec
    plan = read_plan(run, spec)
    decided = labels.folder_of(run, spec.label_set())
    samples = {"input": len(plan.samples), "done": 0, "ok": 0, "empty": 0, "quarantined": 0}
    tallies: Tallies = {"statuses": {}, "classes_accepted": {}}
    by_code: dict[str, int] = {}
    for index in range(len(plan)):
        if not (decided / f"{shards.shard_name(index)}.json").exists():  # not there yet
            continue
        by_status, counts = shards.stated_counts(decided, index)
        reasons = quarantined_in(run, spec, plan, index) if by_status["quarantined"] else []
        samples["done"] += len(plan.shard(index))
        for name, count in by_status.items():
            samples[name] += count
        shards.add_tallies(tallies, {name: counts.get(name, {}) for name in tallies})
        for row in reasons:
            by_code[row["code"]] = by_code.get(row["code"], 0) + 1
    holder = lock.holder_of(run)
    state = "running" if holder else "finished" if summary.counts is not None else "stopped"
    statuses = tallies["statuses"]
    return RunStatus(
        state=state,
        holder=holder,
        samples=samples,
        quarantined_by=by_code,
        **_speed(run, samples["input"] - samples["done"]),
        acceptance_rate=(
            statuses.get("accepted", 0) / sum(statuses.values()) if any(statuses.values()) else None
        ),
        classes_accepted=tallies["classes_accepted"],
        statuses=statuses,
    )


def _speed(run: Path, samples_left: int) -> dict[str, Any]:
    spent = timings.read(run)
    done, seconds = spent.samples_done_now, spent.seconds
    whole = done / seconds if done and seconds else None
    rate = spent.recent_per_s or whole if samples_left else whole
    return {
        "images_per_s": rate,
        "seconds_left": samples_left / rate if rate else 0.0 if not samples_left else None,
        "busy_share": spent.worker_busy_s / spent.worker_s if spent.worker_s else None,
        "worker_peak_bytes": spent.worker_peak_bytes or None,
    }
