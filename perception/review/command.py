"""`perception show`: a finished run as a folder that a browser opens from disk."""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from perception.core.errors import RequestError, SampleError
from perception.core.progress import each
from perception.core.types import Sample, SampleLabels, SampleRef, Status, UInt8
from perception.evaluation import evaluate
from perception.io.files import write_bytes
from perception.models.registry import RECORDERS
from perception.readers import sources
from perception.review import folders, verdict, words
from perception.review.card import card_html
from perception.review.frames import Frame, frame_js, pack
from perception.review.html import SCRIPTS, data_js, page_html
from perception.review.sweeps import palettes
from perception.runs import folder
from perception.runs.folder import Plan, RunSpec
from perception.runs.shards import Outcome
from perception.visualization import drawing

FRAMES = 8
MOST_PX = 2048  # of a picture's longer side: the page shows less
RECORDING = "recording.rrd"
WEB = (
    "style.css",
    "show.css",
    *(name for name in SCRIPTS if name != "data.js"),
    "three_LICENSE.txt",
)


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
        selection: Which samples these are.
        verdict: What came out, and how good it is as far as anybody knows: sentences.
        next: A command to go on with.
        made: What was labelled, with what: sentences.
        good: How good the labels are: sentences; none without truth.
        recording: For Rerun's viewer; None unless it was asked for.
    """

    page: Path
    frames: int
    selection: str
    verdict: tuple[str, ...]
    next: str
    made: tuple[str, ...]
    good: tuple[str, ...]
    recording: Path | None = None

    def lines(self) -> list[str]:
        """Say it on a terminal."""
        play = [f"play: rerun {self.recording}"] if self.recording else []
        return [*self.verdict, *self.good, self.selection, f"next: {self.next}", *play]


def show(
    run: Path,
    out: Path,
    *,
    truth: str = "",
    class_map: str = "",
    frames: int = FRAMES,
    rerun: bool = False,
    overwrite: bool = False,
    address: str = "",
) -> Shown:
    """Write index.html and what it needs into a folder.

    Args:
        run: A finished run.
        out: A folder that does not exist or is empty.
        truth: As for `evaluate`; "" for a page without figures.
        class_map: As for `evaluate`.
        frames: How many samples at most, evenly spaced over the run.
        rerun: Write the same samples as a recording for Rerun's viewer too.
        overwrite: Remove a page that `out` holds.
        address: The run as people name it, for the next command; "" says RUN, so that the page is
            the same wherever the run lies.

    Raises:
        RequestError: `output.exists`, `option.invalid`, `run.incomplete`, `extra.missing`; see
            `evaluate` for more.
    """
    if frames < 1:
        raise RequestError("option.invalid", f"--frames {frames}: expected 1 or more")
    folders.refuse_occupied(out, overwrite=overwrite)
    counts = folder.read_counts(run)
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    found = evaluate(run, truth, class_map=class_map) if truth else None
    recording = out / RECORDING if rerun else None
    recorder: Recorder | None = None
    if recording is not None:
        recorder = pkgutil.resolve_name(RECORDERS["rerun"])(recording, spec.ontology)
    folders.begin(out, WEB, keep=RECORDING if rerun else "")
    shown = []
    chosen = each(_chosen(run, spec, plan, frames), min(frames, len(plan.samples)), "drawing")
    for number, (ref, outcome, sample) in enumerate(chosen):
        shown.append(_frame(out, number, ref, outcome, sample, spec, recorder))
    if recorder is not None:
        recorder.close()
    made = [*words.what_was_made(spec, plan, counts), *words.how_made(run, spec)]
    good = words.how_good(found) if found else []
    judged = verdict.give(counts, found, _accepted_trusts(run), address or "RUN")
    selection = _selection(len(shown), len(plan.samples))
    page = page_html(
        f"Labels of {spec.source}",
        judged,
        made,
        shown,
        selection,
        found,
        good,
        card_html(run, out, spec, plan),
    )
    data = data_js(palettes(spec.ontology), *_keys(spec), shown)
    write_bytes(out / "data.js", data.encode())
    write_bytes(out / "index.html", page.encode())
    return Shown(
        out / "index.html",
        len(shown),
        selection,
        judged.sentences,
        judged.command,
        tuple(made),
        tuple(good),
        recording,
    )


def _accepted_trusts(run: Path) -> list[float]:
    return [
        float(trust)
        for sample in folder.usable_labels(run)
        for picture in sample.pictures
        for trust in picture.instances.trusts[picture.instances.statuses == Status.ACCEPTED]
    ]


def _selection(shown: int, all_: int) -> str:
    if shown == all_:
        return f"All {all_:,} samples are here." if all_ > 1 else "The one sample is here."
    return f"{shown:,} of {all_:,} samples are here, evenly spaced; --frames {all_} shows all."


def _keys(spec: RunSpec) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return names and colours of classes, and names and patterns of statuses."""
    classes = [
        {"name": entry.name, "rgb": "#{:02x}{:02x}{:02x}".format(*drawing.class_rgb(entry.id))}
        for entry in spec.ontology.classes
    ]
    statuses = [
        {"name": status.name.lower(), "pattern": pattern}
        for status, pattern in drawing.PATTERN.items()
    ]
    return classes, statuses


def _chosen(
    run: Path, spec: RunSpec, plan: Plan, frames: int
) -> Iterator[tuple[SampleRef, Outcome, SampleLabels]]:
    """Yield samples evenly spaced over the plan; only their shards are read.

    Where none of them has an accepted label and another sample has, the first such takes the place
    of the nearest: a page should show what it is about.
    """
    count = min(frames, len(plan.samples))
    places = set(np.linspace(0, len(plan.samples) - 1, count).round().astype(int).tolist())
    labelled = _first_labelled(run, places)
    if labelled is not None:
        places.remove(min(places, key=lambda place: abs(place - labelled)))
        places.add(labelled)
    for index in sorted({plan.shard_of(place) for place in places}):
        first = plan.first(index)
        shard = zip(plan.shard(index), folder.read_shard(run, spec, plan, index), strict=True)
        for place, (ref, (outcome, sample)) in enumerate(shard, start=first):
            if place in places:
                yield ref, outcome, sample


def _first_labelled(run: Path, places: set[int]) -> int | None:
    """Return the first sample with accepted labels, if none of `places` has any."""
    first = None
    for place, (_, sample) in enumerate(folder.read_labels(run)):
        if _accepted(sample):
            if place in places:
                return None
            first = place if first is None else first
    return first


def _accepted(sample: SampleLabels) -> int:
    return sum(
        int((picture.instances.statuses == Status.ACCEPTED).sum()) for picture in sample.pictures
    )


def _frame(
    out: Path,
    number: int,
    ref: SampleRef,
    outcome: Outcome,
    sample: SampleLabels,
    spec: RunSpec,
    recorder: Recorder | None,
) -> Frame:
    """Write one sample; its files are numbered, so that no name from outside is a path here."""
    if outcome.status == "quarantined":
        return Frame(ref.id, note=f"could not be used: {outcome.code}: {outcome.message}")
    try:
        loaded = sources.load_sample(ref)
    except SampleError as error:  # the source changed since the run
        return Frame(ref.id, note=f"cannot be read any more: {error}")
    sizes = [picture.size_hw for picture in sample.pictures]
    changed = [picture.size_hw for picture in loaded.pictures] != sizes
    if changed or len(loaded.scene.points_lidar) != len(sample.points):
        return Frame(ref.id, note="is not the sample any more that was labelled")
    if recorder is not None:
        recorder.add(number, loaded, sample)
    files = tuple(f"pictures/{number:03d}-{place}.jpg" for place in range(len(loaded.pictures)))
    for file, picture in zip(files, loaded.pictures, strict=True):
        write_bytes(out / file, drawing.to_jpeg(_shrunk(picture.image_rgb)))
    script = f"frames/{number:03d}.js"
    packed = pack(number, loaded, sample, spec.ontology, files)
    write_bytes(out / script, frame_js(packed).encode())
    return Frame(ref.id, _accepted(sample), script, files[0] if files else "")


def _shrunk(image_rgb: UInt8) -> UInt8:
    height, width = image_rgb.shape[:2]
    scale = MOST_PX / max(height, width)
    if scale >= 1:
        return image_rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
