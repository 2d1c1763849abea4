"""`perception show RUN --review`: labels one by one, the most doubtful first, to accept or not.

The folder opens from disk. `data.js` holds the labels in the order of review, `crops/` their
pictures, `points/` the LiDAR points of each sample, loaded as scripts when they are needed. The
page makes a file of decisions for `perception corrections apply`.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from perception.core.errors import SampleError
from perception.core.sizes import size_name
from perception.core.types import PictureLabels, Sample, SampleLabels, SampleRef, Status
from perception.formats import number_or_none
from perception.io.files import write_bytes
from perception.readers import sources
from perception.review import crops, doubts, folders, words
from perception.review.doubts import Queued
from perception.runs import folder
from perception.runs.folder import Plan, RunSpec
from perception.synthetic.read import is_drive, read_scenes

WEB = ("style.css", "review.css", "point_view.js", "review.js", "three.min.js", "three_LICENSE.txt")
REVIEWED = frozenset({Status.ACCEPTED, Status.REVIEW})


@dataclass(frozen=True)
class Reviewed:
    """What a review page holds.

    Attributes:
        page: The file to open.
        labels: On it.
        unreadable: Samples whose pictures are not there any more.
    """

    page: Path
    labels: int
    unreadable: int


def review(
    run: Path,
    out: Path,
    *,
    statuses: frozenset[Status] = REVIEWED,
    overwrite: bool = False,
    name: str = "",
) -> Reviewed:
    """Write index.html, data.js, crops/ and points/ into a folder.

    Args:
        run: A finished run.
        out: A folder that does not exist or is empty.
        statuses: Which labels are listed.
        overwrite: Remove a page that `out` holds.
        name: The run as a command names it, where `run` is a copy of it.

    Raises:
        RequestError: `output.exists`, `run.incomplete`, `run.damaged`.
    """
    folders.refuse_occupied(out, overwrite=overwrite)
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    order = doubts.review_order(
        list(doubts.candidates((labels for _, labels in folder.read_labels(run)), statuses))
    )
    folders.begin(out, WEB)
    of_sample: dict[int, list[tuple[int, Queued]]] = {}
    for number, queued in enumerate(order):
        of_sample.setdefault(queued.candidate.sample, []).append((number, queued))
    entries: dict[int, dict[str, Any]] = {}
    unreadable, neighbours = 0, _neighbours(plan)
    for place, (_, labels) in enumerate(folder.read_labels(run)):
        wanted = of_sample.get(place, [])
        loaded = _load(plan.samples[place], labels) if wanted else None
        unreadable += loaded is None and bool(wanted)
        beside = [(name, plan.samples[other]) for name, other in neighbours.get(place, {}).items()]
        for number, queued in wanted:
            entries[number] = _entry(number, queued, labels, spec)
        if loaded:
            _draw(out, place, wanted, entries, loaded, labels, beside)
    data = {
        "run": spec.evidence_fingerprint(),
        "label_set": spec.label_set(),
        "source": spec.source,
        "folder": shlex.quote(name or str(run)),
        "classes": [entry.name for entry in spec.ontology.classes],
        "has_trust": doubts.has_trust([queued.candidate for queued in order]),
        "palette": crops.PALETTE,
        "labels": [entries[number] for number in range(len(order))],
    }
    write_bytes(out / "data.js", f"const REVIEW = {json.dumps(data)};\n".encode())
    write_bytes(out / "index.html", _html(spec.source).encode())
    return Reviewed(out / "index.html", len(order), unreadable)


def _neighbours(plan: Plan) -> dict[int, dict[str, int]]:
    """Return the samples before and after each, where these are frames of one recording."""
    roots = {ref.root for ref in plan.samples}
    starts: set[str] = set()
    for root in roots:
        if is_drive(Path(root)):
            starts |= set(read_scenes(Path(root)))
    found: dict[int, dict[str, int]] = {}
    for place, (first, second) in enumerate(zip(plan.samples, plan.samples[1:], strict=False)):
        in_scene = bool(starts) and second.id not in starts
        in_recording = sources.traits(first.layout).is_recording and (
            first.id.rpartition("/")[0] == second.id.rpartition("/")[0]
        )
        if first.root == second.root and (in_recording or in_scene):
            found.setdefault(place, {})["after"] = place + 1
            found.setdefault(place + 1, {})["before"] = place
    return found


def _load(ref: SampleRef, labels: SampleLabels | None) -> Sample | None:
    """Load a sample; None if it is gone, or is not the one that was labelled."""
    try:
        loaded = sources.load_sample(ref)
    except SampleError:  # counted and stated on the page: no picture can be shown
        return None
    if labels is None:
        return loaded
    sizes = [picture.size_hw for picture in labels.pictures]
    same = [picture.size_hw for picture in loaded.pictures] == sizes
    return loaded if same and len(loaded.scene.points_lidar) == len(labels.points) else None


def _entry(number: int, queued: Queued, labels: SampleLabels, spec: RunSpec) -> dict[str, Any]:
    one = queued.candidate
    picture = labels.pictures[one.picture]
    return {
        "sample": labels.id,
        "instance": int(picture.instances.instance_ids[one.row]),
        "picture": picture.file_name,
        "class": spec.ontology.by_id(one.class_id).name,
        "status": one.status.name.lower(),
        "size": size_name(one.area_px),
        "area_px": one.area_px,
        "reasons": [reason.split(".")[0] if "_of." in reason else reason for reason in one.reasons],
        "words": words.signal_words(picture.instances, one.row),
        "trust": number_or_none(round(one.trust, 4)),
        "drawn": queued.drawn,
        "pictures": [],
    }


def _draw(
    out: Path,
    place: int,
    wanted: list[tuple[int, Queued]],
    entries: dict[int, dict[str, Any]],
    loaded: Sample,
    labels: SampleLabels,
    beside: list[tuple[str, SampleRef]],
) -> None:
    """Write the crops and points of one sample; files are numbered: no name is a path."""
    others = [(name, _load(ref, None)) for name, ref in beside]
    points: dict[int, Any] = {}
    for number, queued in wanted:
        one, entry = queued.candidate, entries[number]
        picture: PictureLabels = labels.pictures[one.picture]
        window = crops.window_of(picture.instances, one.row)
        entry["edge"] = crops.edge(picture.instances, one.row, window)
        own = loaded.pictures[one.picture]
        for name, image in [("now", own.image_rgb), *_same_camera(own.camera, others)]:
            if image.shape == own.image_rgb.shape:
                file = f"crops/{number:06d}-{name}.jpg"
                write_bytes(out / file, crops.crop_jpeg(image, window))
                entry["pictures"].append([name, file])
        near = crops.points_near(loaded.scene.points_drawn, labels.points, entry["instance"])
        if near:
            points[number] = near
            entry["points"] = place
    if points:
        text = f"addPoints({json.dumps(points)});\n"
        write_bytes(out / f"points/{place:06d}.js", text.encode())


def _same_camera(camera: str, others: list[tuple[str, Sample | None]]) -> Iterator[tuple[str, Any]]:
    for name, sample in others:
        for picture in sample.pictures if sample else ():
            if picture.camera == camera:
                yield name, picture.image_rgb


def _html(source: str) -> str:
    """Return index.html; all labels come from data.js, and into the page as text only."""
    scripts = "".join(
        f'<script src="{name}"></script>\n'
        for name in ("three.min.js", "data.js", "point_view.js", "review.js")
    )
    selects = "".join(
        f'<label>{name} <select id="by-{name}"></select></label>\n'
        for name in ("class", "size", "reason", "status", "frame", "decision")
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Review of {escape(source)}</title>
<link rel="stylesheet" href="style.css"><link rel="stylesheet" href="review.css"></head>
<body>
<header><h1>Review of {escape(source)}</h1>
<p id="order" class="dim"></p>
<div id="filters">{selects}</div>
<p><span id="progress"></span> <progress id="bar" max="1" value="0"></progress>
<button id="download">Download decisions</button></p>
<p id="estimate" class="dim"></p>
<p id="next" hidden>Next: download the decisions, and apply the file: <code id="command"></code></p>
</header>
<main id="label">
<h2><span id="name"></span> <small id="where"></small> <b id="decided"></b></h2>
<div id="strip">
<figure><div id="crop"><img id="now" alt="the label"><svg id="edge"></svg></div>
<figcaption>this frame</figcaption></figure>
<figure class="side"><img id="before" alt="the frame before">
<figcaption>before</figcaption></figure>
<figure class="side"><img id="after" alt="the frame after">
<figcaption>after</figcaption></figure>
<figure class="cloud"><canvas id="above" width="320" height="320"></canvas>
<figcaption>points from above</figcaption></figure>
<figure class="cloud"><div id="points"></div>
<figcaption id="turn">points in 3D</figcaption></figure>
</div>
<ul id="words"></ul>
</main>
<p id="none" hidden>No label fits these filters.</p>
<nav id="keys">
<button data-key="a">a accept</button><button data-key="r">r reject</button>
<button data-key="w">w wrong class</button><button data-key="b">b bad edge</button>
<button data-key="u">u undo</button><button data-key="k">k back</button>
<button data-key="j">j next</button><button data-key="e">e edge on/off</button></nav>
<dialog id="classes"></dialog>
<noscript>This page needs JavaScript; it asks no server.</noscript>
{scripts}</body></html>
"""
