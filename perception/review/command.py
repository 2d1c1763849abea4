"""`perception show`: a finished run as a folder that a browser opens from disk."""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

import numpy as np

from perception.core.errors import RequestError, SampleError
from perception.core.types import Sample, SampleLabels, SampleRef
from perception.evaluation import evaluate
from perception.io.files import refuse_occupied, write_bytes
from perception.models.registry import RECORDERS
from perception.readers import sources
from perception.review import words
from perception.review.card import card_html
from perception.review.html import Frame, data_js, page_html
from perception.review.sweeps import pack_sweep, palettes
from perception.runs import folder
from perception.runs.folder import Plan, RunSpec
from perception.runs.shards import Outcome
from perception.visualization import drawing

FRAMES = 8
RECORDING = "recording.rrd"
WEB = ("style.css", "point_view.js", "show.js", "three.min.js", "three_LICENSE.txt")


class Recorder(Protocol):
    """What takes the samples of a page for a viewer of its own."""

    def add(self, number: int, sample: Sample, labels: SampleLabels) -> None:
        """Take a sample, as number so many."""

    def close(self) -> None:
        """Write what is left."""


@dataclass(frozen=True)
class Shown:
    """What a page says, for the terminal and for programs.

    Attributes:
        page: The file to open.
        frames: Samples on it.
        made: What was labelled, with what: sentences.
        good: How good the labels are: sentences; none without truth.
        recording: For Rerun's viewer; None unless it was asked for.
    """

    page: Path
    frames: int
    made: tuple[str, ...]
    good: tuple[str, ...]
    recording: Path | None = None


def show(
    run: Path,
    out: Path,
    *,
    truth: str = "",
    class_map: str = "",
    frames: int = FRAMES,
    rerun: bool = False,
) -> Shown:
    """Write index.html and what it needs into a folder.

    Args:
        run: A finished run.
        out: A folder that does not exist or is empty.
        truth: As for `evaluate`; "" for a page without figures.
        class_map: As for `evaluate`.
        frames: How many samples at most, evenly spaced over the run.
        rerun: Write the same samples as a recording for Rerun's viewer too.

    Raises:
        RequestError: `output.exists`, `option.invalid`, `run.incomplete`, `extra.missing`; see
            `evaluate` for more.
    """
    if frames < 1:
        raise RequestError("option.invalid", f"--frames {frames}: expected 1 or more")
    refuse_occupied(out)
    counts = folder.read_counts(run)
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    found = evaluate(run, truth, class_map=class_map) if truth else None
    recording = out / RECORDING if rerun else None
    recorder: Recorder | None = None
    if recording is not None:
        recorder = pkgutil.resolve_name(RECORDERS["rerun"])(recording, spec.ontology)
    shown = []
    for number, (ref, outcome, sample) in enumerate(_chosen(run, spec, plan, frames)):
        shown.append(_frame(out, number, ref, outcome, sample, spec, recorder))
    if recorder is not None:
        recorder.close()
    made = [*words.what_was_made(spec, plan, counts), *words.how_made(run, spec)]
    card = card_html(run, out, spec, plan)
    good = words.how_good(found) if found else []
    title = f"Labels for {counts['samples']['input']} samples ({spec.source})"
    web = resources.files("perception.review") / "web"
    for name in WEB:
        write_bytes(out / name, (web / name).read_bytes())
    write_bytes(out / "data.js", data_js(palettes(spec.ontology), shown).encode())
    write_bytes(out / "index.html", page_html(title, made, shown, found, good, card).encode())
    return Shown(out / "index.html", len(shown), tuple(made), tuple(good), recording)


def _chosen(
    run: Path, spec: RunSpec, plan: Plan, frames: int
) -> Iterator[tuple[SampleRef, Outcome, SampleLabels]]:
    """Yield samples evenly spaced over the plan; only their shards are read."""
    count = min(frames, len(plan.samples))
    places = np.linspace(0, len(plan.samples) - 1, count).round().astype(int).tolist()
    for index in sorted({plan.shard_of(place) for place in places}):
        first = plan.first(index)
        shard = zip(plan.shard(index), folder.read_shard(run, spec, plan, index), strict=True)
        for place, (ref, (outcome, sample)) in enumerate(shard, start=first):
            if place in places:
                yield ref, outcome, sample


def _frame(
    out: Path,
    number: int,
    ref: SampleRef,
    outcome: Outcome,
    sample: SampleLabels,
    spec: RunSpec,
    recorder: Recorder | None,
) -> Frame:
    """Draw one sample; its pictures are numbered, so that no name from outside is a path here."""
    if outcome.status == "quarantined":
        return Frame(ref.id, note=f"could not be used: {outcome.code}: {outcome.message}")
    try:
        loaded = sources.load_sample(ref)
    except SampleError as error:  # the source changed since the run
        return Frame(ref.id, note=f"cannot be read any more: {error}")
    sizes = [picture.size_hw for picture in sample.pictures]
    points_lidar = loaded.scene.points_drawn
    changed = [picture.size_hw for picture in loaded.pictures] != sizes
    if changed or len(points_lidar) != len(sample.points):
        return Frame(ref.id, note="is not the sample any more that was labelled")
    if recorder is not None:
        recorder.add(number, loaded, sample)
    names = {entry.id: entry.name for entry in spec.ontology.classes}
    pictures = []
    for place, (picture, own) in enumerate(zip(loaded.pictures, sample.pictures, strict=True)):
        file = f"pictures/{number:03d}-{place}.jpg"
        write_bytes(out / file, drawing.to_jpeg(drawing.overlay(picture.image_rgb, own, names)))
        pictures.append((picture.file_name, file))
    sweep = pack_sweep(points_lidar, sample, spec.ontology) if len(points_lidar) else None
    return Frame(ref.id, tuple(pictures), sweep)
