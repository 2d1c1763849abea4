"""What a run is, and how good: sentences for people, without a figure that nobody measured."""

import json
import math
from pathlib import Path
from typing import Any

from perception.core.ontology import data_folder
from perception.core.reasons import words_of
from perception.core.types import SIGNALS, Cuboids, Instances, Status, values_of
from perception.evaluation import Figure, Report
from perception.evaluation.notes import BOXES_ONLY
from perception.models import weights
from perception.runs import timings
from perception.runs.folder import Plan, RunSpec
from perception.synthetic.read import is_drive

POCKET = "The pocket detector knows synthetic streets only: do not trust it on real images."
SYNTHETIC = (
    "The street is synthetic: compare two ways of doing something on it, and do not expect its "
    "figures on real streets."
)


def what_was_made(spec: RunSpec, plan: Plan, counts: dict[str, Any]) -> list[str]:
    """Say what was labelled, with what, and what came out."""
    samples, statuses = counts["samples"], counts["statuses"]
    made = ", ".join(
        f"{statuses.get(name, 0)} {name}" for name in ("accepted", "review", "rejected")
    )
    lines = [
        f"{samples['input']} samples: {samples['ok']} with objects, {samples['empty']} without, "
        f"{samples['quarantined']} could not be used.",
        f"Labels: {made}.",
    ]
    if counts["classes_accepted"]:
        found = sorted(counts["classes_accepted"].items(), key=lambda item: (-item[1], item[0]))
        lines.append("Accepted: " + ", ".join(f"{n} {name}" for name, n in found) + ".")
    if counts.get("points"):
        of_points = counts["points"]
        lines.append(
            "LiDAR points: "
            + ", ".join(
                f"{of_points.get(name, 0):,} {name}"
                for name in ("labelled", "background", "unknown")
            )
            + "."
        )
    for code, n in sorted(counts["quarantined_by"].items()):
        lines.append(f"Not used: {n} for {code}.")
    drive = is_drive(Path(plan.samples[0].root))
    return [*lines, *_models(spec), *([SYNTHETIC] if drive else [])]


def how_made(run: Path, spec: RunSpec) -> list[str]:
    """Say licences, settings that differ from the defaults, and the speed."""
    licences = {
        "source": spec.source_licence,
        **{name.replace("_", " "): model.licence for name, model in spec.models().items()},
    }
    listed = ", ".join(f"{name} {licence or 'unknown'}" for name, licence in licences.items())
    changed = spec.config.model_dump(mode="json", exclude_defaults=True)
    lines = [
        f"Licences: {listed}.",
        f"Settings: {json.dumps(changed) if changed else 'the defaults'}; class map "
        f"{spec.class_map.source}-to-{spec.class_map.target}; fingerprint "
        f"{spec.fingerprint()[:12]}, label set {spec.label_set()}.",
    ]
    spent = timings.read(run)
    done, seconds = spent.samples_done_now, spent.seconds
    if done and seconds:
        lines.append(
            f"Speed: {seconds / done:.2f} s a sample ({done} samples in {seconds:.0f} s, "
            f"{spent.workers} workers)."
        )
    return lines


def _models(spec: RunSpec) -> list[str]:
    detector, segmenter = spec.detector, spec.segmenter
    if detector.kind == "boxes":
        lines = [
            f"Boxes: given with the data ({detector.file_name}). No detector ran, so finding the "
            "objects is not put to the test."
        ]
    else:
        lines = [f"Boxes: detector {_model(detector.file_name or detector.kind, detector.sha256)}"]
        pocket = data_folder() / "pocket" / "pocket.onnx"
        if pocket.is_file() and weights.sha256_of(pocket) == detector.sha256:
            lines.append(POCKET)
    plain = {
        "grabcut": "Masks: GrabCut, which needs no weights and is rough.",
        "boxes": "Masks: the boxes, filled.",
    }
    masks = plain.get(segmenter.kind, f"Masks: {_model(segmenter.file_name, segmenter.sha256)}")
    second = spec.second
    asked = [f"Second opinion: {_model(second.file_name, second.sha256)}"] if second else []
    return [*lines, masks, *asked]


def _model(name: str, sha256: str) -> str:
    known = next((entry for entry in weights.KNOWN if entry.sha256 == sha256), None)
    note = f"; {known.note} Licence: {known.licence}." if known else "."
    return f"{name} (sha256 {sha256[:12]}){note}" if sha256 else f"{name}."


def how_good(report: Report) -> list[str]:
    """Say the figures that a reader asks for first; what could not be judged is left out."""
    counts = dict(report.counts)
    asked = [
        ("labels", "all", "precision", "Accepted labels that are right (IoU 0.5 or more)"),
        ("labels", "all", "recall", "True objects with such a label"),
        ("labels", "all", "IoU of matches", "Mask IoU of right labels, mean"),
        ("yield", "all", "yield at 95", "True objects labelled where 95 % of labels are right"),
        ("ap", "mask", "AP50", "Mask AP50, accepted or for review"),
        ("points.seen.iou", "mIoU", "all", "Point IoU, mean of classes, points the camera sees"),
    ]
    lines = [f"Truth: {counts['true objects']} objects on {counts['images with truth']} images."]
    tables = {table.name for table in report.tables}
    for table, row, column, words in asked:
        if table not in tables:
            continue
        figure = report.figure(table, row, column)
        if figure.value is not None:
            lines.append(f"{words}: {_figure(figure)}.")
    return [*lines, *(note for note in report.notes if note == BOXES_ONLY)]


def _figure(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} (95 % interval {figure.low:.3f} to {figure.high:.3f})"


def signal_words(instances: Instances, row: int) -> list[str]:
    """Say what is known of a label; what is unknown is left out."""
    return [*(words_of(code) for code in instances.reasons[row]), *_measured(instances, row)]


def story(
    instances: Instances, row: int, cuboids: Cuboids, box: int | None, points: int
) -> list[str]:
    """Tell why a label has its status, then what was measured.

    Args:
        instances: Of one picture.
        row: Which.
        cuboids: Of the sample.
        box: The label's row of `cuboids`; None without a 3D box.
        points: LiDAR points that carry the label.
    """
    reasons = [words_of(code) for code in instances.reasons[row]]
    if instances.by_human[row] and not reasons:
        why = "a person decided so"
    else:
        why = "; ".join(reasons) or "no check spoke against it"
    name = Status(int(instances.statuses[row])).name.lower()
    told = {"review": "for review"}.get(name, name).capitalize()
    return [
        f"{told}: {why}.",
        *_measured(instances, row),
        *_in_space(cuboids, box, points),
    ]


def _measured(instances: Instances, row: int) -> list[str]:
    trust = float(instances.trusts[row])
    lines = ["decided by a person"] if instances.by_human[row] else []
    if not math.isnan(trust) and not instances.by_human[row]:
        lines.append(f"chance of being right {trust:.2f}")
    for signal in SIGNALS:
        value = float(values_of(instances, signal)[row])
        if signal.words and not math.isnan(value):
            lines.append(f"{signal.words} {value:.2f}")
    return lines


def _in_space(cuboids: Cuboids, row: int | None, points: int) -> list[str]:
    lines = [f"{points:,} LiDAR points"] if points else []
    if row is not None:
        length, width, height = cuboids.sizes_lwh_m[row]
        away_m = float(math.hypot(*cuboids.centres_m[row, :2]))
        lines.append(
            f"3D box {length:.1f} m long, {width:.1f} m wide, {height:.1f} m high, "
            f"{away_m:.0f} m away"
        )
    return lines
