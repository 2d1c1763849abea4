"""The run card: acceptance by class and reason, trust, and the best, worst and random examples.

A part of the page of `perception show`; what was labelled, by what and how fast stands above it.
"""

from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from perception.core.errors import SampleError
from perception.core.reasons import kind_of, words_of
from perception.core.types import SampleLabels, Status
from perception.io.files import write_bytes
from perception.readers import sources
from perception.review import crops, doubts, words
from perception.review.doubts import Candidate
from perception.runs import folder
from perception.runs.folder import Plan, RunSpec

EXAMPLES = 4  # of each kind
CURVE_STEPS = 20
SHOWN = frozenset({Status.ACCEPTED, Status.REVIEW})


@dataclass(frozen=True)
class Example:
    """A label shown as an example.

    Attributes:
        kind: "best", "worst" or "random".
        file: Its crop, below the page's folder.
        outlines: Of its mask, in pixels of the crop.
        size_wh: Of the crop.
        title: What it is.
    """

    kind: str
    file: str
    outlines: list[list[int]]
    size_wh: tuple[int, int]
    title: str


def card_html(run: Path, out: Path, spec: RunSpec, plan: Plan) -> str:
    """Write the examples' crops into `out` and return the card."""
    by_class, by_reason = Counter[tuple[str, Status]](), Counter[tuple[str, Status]]()
    for sample in folder.usable_labels(run):
        for picture in sample.pictures:
            own = picture.instances
            for row, value in enumerate(own.statuses):
                status = Status(int(value))
                by_class[spec.ontology.by_id(int(own.class_ids[row])).name, status] += 1
                for reason in {kind_of(code) for code in own.reasons[row]}:
                    by_reason[reason, status] += 1
    found = list(doubts.candidates((s for _, s in folder.read_labels(run)), SHOWN))
    said = {code: f"{code}: {words_of(code)}" for code, _ in by_reason}
    return (
        "<h2>Acceptance</h2>\n"
        + _table("class", by_class, {}, share=True)
        + "<h3>Reasons</h3>\n"
        + _table("reason", by_reason, said, share=False)
        + _curve([one.trust for one in found])
        + _examples(_chosen_examples(run, out, spec, plan, found))
    )


def _table(
    title: str, counts: Counter[tuple[str, Status]], said: dict[str, str], *, share: bool
) -> str:
    """Return a table of counts; a share of reasons would say nothing: what has one is in doubt."""
    names = sorted({name for name, _ in counts})
    columns = [status.name.lower() for status in Status] + ["share accepted"] * share
    head = "".join(f"<th>{column}</th>" for column in columns)
    rows = []
    for name in names:
        own = [counts[name, status] for status in Status]
        cells = [f"{count:,}" for count in own] + [f"{own[Status.ACCEPTED] / sum(own):.0%}"] * share
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr><td>{escape(said.get(name, name))}</td>{row}</tr>\n")
    if not rows:
        return f"<p>No label has a {title}.</p>\n"
    return (
        f'<div class="wide"><table><tr><th>{title}</th>{head}</tr>\n{"".join(rows)}</table></div>\n'
    )


def _curve(trusts: list[float]) -> str:
    """Draw the expected precision of the labels kept against their share, the surest first."""
    if not trusts or np.isnan(trusts).any():
        return "<p class='dim'>No chance of being right was fitted: no trust curve.</p>\n"
    order = np.sort(trusts)[::-1]
    expected = np.cumsum(order) / np.arange(1, len(order) + 1)
    shares = np.linspace(1 / CURVE_STEPS, 1, CURVE_STEPS)
    kept = np.maximum(np.ceil(shares * len(order)).astype(int), 1)
    line = " ".join(
        f"{300 * share:.1f},{100 * (1 - expected[n - 1]):.1f}"
        for share, n in zip(shares, kept, strict=True)
    )
    rows = "".join(
        f"<tr><td>{share:.0%}</td><td>{order[n - 1]:.3f}</td><td>{expected[n - 1]:.3f}</td></tr>"
        for share, n in zip(shares[4::5], kept[4::5], strict=True)
    )
    return (
        "<h3>Trust</h3><p>Expected precision of the labels kept, the surest first; as good as the "
        "trust model.</p>\n"
        '<svg width="320" height="110" viewBox="0 -5 310 110" role="img" aria-label="trust curve">'
        f'<rect width="300" height="100" class="track"/>'
        f'<polyline points="{line}" fill="none" class="interval" stroke-width="2"/></svg>\n'
        f"<table><tr><th>kept</th><th>least trust</th><th>expected precision</th></tr>{rows}"
        "</table>\n"
    )


def _chosen_examples(
    run: Path, out: Path, spec: RunSpec, plan: Plan, found: list[Candidate]
) -> list[Example]:
    order = doubts.worst_first(found)
    random = np.random.default_rng(doubts.SEED).permutation(len(order))[:EXAMPLES]
    wanted = {
        "best": order[-EXAMPLES:][::-1],
        "worst": order[:EXAMPLES],
        "random": [order[i] for i in random],
    }
    places = {one.sample for chosen in wanted.values() for one in chosen}
    samples = {}
    for place, (_, labels) in enumerate(folder.read_labels(run)):
        if place in places:
            samples[place] = labels
    examples = []
    for kind, chosen in wanted.items():
        for number, one in enumerate(chosen):
            file = f"examples/{kind}-{number}.jpg"
            examples += _draw(out, file, kind, one, samples[one.sample], spec, plan)
    return examples


def _draw(
    out: Path,
    file: str,
    kind: str,
    one: Candidate,
    labels: SampleLabels,
    spec: RunSpec,
    plan: Plan,
) -> list[Example]:
    picture = labels.pictures[one.picture]
    try:
        loaded = sources.load_pictures(plan.samples[one.sample])[one.picture]
    except SampleError:  # the source changed since the run, which the frames below state
        return []
    if loaded.size_hw != picture.size_hw:
        return []
    window = crops.window_of(picture.instances, one.row)
    write_bytes(out / file, crops.crop_jpeg(loaded.image_rgb, window))
    name = spec.ontology.by_id(one.class_id).name
    said = words.signal_words(picture.instances, one.row)[:2]
    return [
        Example(
            kind,
            file,
            crops.edge(picture.instances, one.row, window),
            crops.size_wh(window),
            f"{name}, {one.status.name.lower()}, {labels.id}: {'; '.join(said)}",
        )
    ]


def _examples(examples: list[Example]) -> str:
    parts = ["<h2>Examples</h2>\n"]
    for kind in ("best", "worst", "random"):
        own = [_figure(example) for example in examples if example.kind == kind]
        if own:
            parts.append(f'<h3>{kind}</h3><div class="examples">{"".join(own)}</div>\n')
    return "".join(parts) if len(parts) > 1 else ""


def _figure(example: Example) -> str:
    width, height = example.size_wh
    lines = "".join(f'<polygon points="{" ".join(map(str, line))}"/>' for line in example.outlines)
    return (
        f'<figure><div><img src="{example.file}" width="{width}" height="{height}" '
        f'alt="{escape(example.title)}"><svg viewBox="0 0 {width} {height}">{lines}</svg></div>'
        f"<figcaption>{escape(example.title)}</figcaption></figure>"
    )
