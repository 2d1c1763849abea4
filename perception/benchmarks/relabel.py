"""What `relabel` and `export` cost, as a user meets them: time and memory of whole commands."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from perception.benchmarks.harness.measurement import Measurement, Row
from perception.benchmarks.harness.pictures import draw
from perception.benchmarks.harness.timed_command import command
from perception.core.statistics import Figure
from perception.io import scratch
from perception.runs import folder, labels

RAISED = 0.05  # by which a threshold is moved
MODELS = ("--detector", "bright", "--segmenter", "boxes", "--threads", "1")


@dataclass(frozen=True)
class Redone:
    """What deciding a run again costs: whole commands, their start included.

    Attributes:
        frames: Samples of the run.
        relabel_ms: Per frame.
        export_ms: Per frame, the reading again included.
        unchanged_ms: Per frame, of a `relabel` that changes nothing.
        relabel_peak_bytes: Largest resident memory of one of its processes.
        export_peak_bytes: The same.
        identical: Whether a fresh run with that setting has the same bytes; None where the pictures
            were not drawn here.
    """

    frames: int
    relabel_ms: float
    export_ms: float
    unchanged_ms: float
    relabel_peak_bytes: int
    export_peak_bytes: int
    identical: bool | None

    def report(self) -> Measurement:
        """Return the figures, and how they are told."""
        same = {True: "the same bytes as", False: "OTHER BYTES THAN", None: "not compared with"}
        line = (
            f"{self.frames} frames: relabel {self.relabel_ms:.2f} ms per frame "
            f"({self.relabel_peak_bytes / 1e6:.0f} MB), export {self.export_ms:.2f} ms "
            f"({self.export_peak_bytes / 1e6:.0f} MB), relabel without a change "
            f"{self.unchanged_ms:.2f} ms; {same[self.identical]} a fresh run"
        )
        rows = (
            Row("relabel: time by frame", Figure(self.relabel_ms), "ms"),
            Row("relabel: peak memory", Figure(self.relabel_peak_bytes / 1e9), "GB"),
            Row("export to COCO: time by frame", Figure(self.export_ms), "ms"),
            Row("export to COCO: peak memory", Figure(self.export_peak_bytes / 1e9), "GB"),
            Row("relabel without a change: time by frame", Figure(self.unchanged_ms), "ms"),
        )
        return Measurement(rows, [line], asdict(self))


def redo(run: Path | None, frames: int, objects: int) -> Redone:
    """Relabel and export a run, and compare with labelling it so in the first place.

    Args:
        run: A finished run, which is copied; None for one of pictures that are drawn.
        frames: To draw.
        objects: In each.

    Raises:
        RequestError: `bench.failed`; `run.damaged`.
    """
    with scratch.folder("bench") as place:
        if run is None:
            draw(place / "src", frames, objects)
            command("label", place / "src", "--out", place / "run", *MODELS)
        else:
            shutil.copytree(run, place / "run")
        spec = folder.read_spec(place / "run")
        count = len(folder.read_plan(place / "run", spec).samples)
        raised = min(1.0, round(spec.config.decide.judge.min_score + RAISED, 6))
        decided = command("relabel", place / "run", "--min-score", raised)
        again = command("relabel", place / "run")
        exported = command("export", place / "run", "--to", "coco", "--out", place / "coco.json")
        identical = None
        if run is None:
            fresh = place / "fresh"
            command("label", place / "src", "--out", fresh, "--min-score", raised, *MODELS)
            identical = _labels_of(fresh) == _labels_of(place / "run")
        return Redone(
            frames=count,
            relabel_ms=1000 * decided.seconds / count,
            export_ms=1000 * exported.seconds / count,
            unchanged_ms=1000 * again.seconds / count,
            relabel_peak_bytes=decided.peak_bytes,
            export_peak_bytes=exported.peak_bytes,
            identical=identical,
        )


def _labels_of(run: Path) -> dict[str, bytes]:
    decided = labels.folder_of(run, folder.read_spec(run).label_set())
    return {path.name: path.read_bytes() for path in sorted(decided.iterdir())}
