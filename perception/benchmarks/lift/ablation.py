"""What each part of the lift is worth.

Runs whose prompts were true boxes are decided again from their stored evidence, once as it is and
once without each part; no model runs. Judged are the points that fall into an image, hidden ones
too, of each true object that has ten or more there, by the instance that its box prompted, whatever
its status.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.benchmarks.harness.measurement import Row, rows_of
from perception.core.errors import RequestError
from perception.core.geometry import points_in_view
from perception.core.progress import Progress
from perception.core.statistics import Figure, paired
from perception.core.text import text_table
from perception.core.types import Bool, Evidence, Float64, SampleLabels, Scene
from perception.evaluation import read_truth
from perception.evaluation.kitti import PREFIX
from perception.evaluation.points import MIN_OBJECT_POINTS, prompted
from perception.evaluation.truth import VOID, TruePicture, Truth
from perception.labeling import pipeline
from perception.labeling.pipeline import Rules
from perception.readers import sources
from perception.runs import evidence, folder
from perception.synthetic.read import is_drive

DEPTH_MODE = "depth mode alone"
EVERYTHING = "everything"
WITHOUT: dict[str, dict[str, float | bool]] = {
    EVERYTHING: {},
    "without ground removal": {"ground_m": 0.0, "feet_m": 0.0},
    "without feet": {"feet_m": 0.0},
    "without occlusion": {"occlusion": False},
    "without what goes on": {"go_on": False},
    "without growth": {"growth_share": 0.0},
    "without sizes": {"sizes": False},
    DEPTH_MODE: {
        "ground_m": 0.0,
        "feet_m": 0.0,
        "occlusion": False,
        "go_on": False,
        "growth_share": 0.0,
        "sizes": False,
    },
}
COLUMNS = ("IoU", "mean IoU", "precision", "recall", "behind", "gain over depth mode")


@dataclass(frozen=True, eq=False)
class Scores:
    """N objects, by one way of lifting.

    Attributes:
        counts: (N, 4) points in common, in the truth, found; and found behind: on something else,
            further away than all of the object.
    """

    counts: Float64

    @property
    def ious(self) -> Float64:
        """(N,) intersection over union."""
        common, true, found, _ = self.counts.T
        return np.asarray(common / np.maximum(true + found - common, 1))

    def figures(self) -> dict[str, float]:
        """Return pooled and mean IoU, precision, recall, and the share of points behind."""
        common, true, found, behind = self.counts.sum(axis=0)
        return {
            "IoU": common / max(true + found - common, 1),
            "mean IoU": float(self.ious.mean()) if len(self.ious) else 0.0,
            "precision": common / max(found, 1),
            "recall": common / max(true, 1),
            "behind": behind / max(found, 1),
        }


def ablate(run: Path, ways: Sequence[str], done: Progress) -> dict[str, Scores]:
    """Lift a run's evidence in several ways.

    Args:
        run: A finished run on a KITTI folder or a synthetic drive, prompted with `label_2`.
        ways: Keys of `WITHOUT`.
        done: Called with samples done and in all.

    Raises:
        RequestError: `truth.mismatch` if no sample of the run has truth.
    """
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    root = Path(plan.samples[0].root)
    truth = read_truth(str(root) if is_drive(root) else f"{PREFIX}{root}", spec.ontology)
    rows: dict[str, list[Float64]] = {way: [] for way in ways}
    rules = {}
    for way in ways:
        lift = spec.config.decide.lift.model_copy(update=WITHOUT[way])
        config = spec.config.decide.model_copy(update={"lift": lift})
        rules[way] = Rules(config, spec.ontology, spec.class_map)
    for number, (sample_id, seen, scene) in enumerate(_samples(run), start=1):
        for way in ways:
            labels = pipeline.decide(sample_id, seen, scene, rules[way])
            rows[way] += _counted(labels, truth, scene)
        done(number, len(plan.samples))
    if not any(rows.values()):
        raise RequestError(
            "truth.mismatch",
            f"{run}: no sample has points of known objects; expected a run on "
            "kitti:ROOT with label_2, or on a synthetic drive",
        )
    return {way: Scores(np.array(counts).reshape(-1, 4)) for way, counts in rows.items()}


def _samples(run: Path) -> Iterator[tuple[str, tuple[Evidence, ...], Scene]]:
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    for index in range(len(plan)):
        refs = {ref.id: ref for ref in plan.shard(index)}
        for outcome, seen in evidence.read(run, index, plan.shard(index)):
            if outcome.status != "quarantined":
                ref = refs[outcome.sample_id]
                yield ref.id, seen, sources.load_scene(ref)


def _counted(labels: SampleLabels, truth: Truth, scene: Scene) -> list[Float64]:
    """Return (4,) counts of each true object with enough points."""
    known = truth.find_points(labels.id, len(labels.points))
    pairs = [(p, truth.find_picture(p.file_name)) for p in labels.pictures]
    if known is None:
        return []
    counted = (known.class_ids != VOID) & _in_an_image(labels, scene)
    ranges_m = np.linalg.norm(scene.points_lidar.astype(np.float64), axis=1)
    ours: dict[int, set[int]] = {}
    for picture, true_picture in pairs:
        if true_picture is not None:
            for true_id, label_id in prompted(picture, _boxed(true_picture)).items():
                ours.setdefault(true_id, set()).add(label_id)
    rows = []
    for true_id, label_ids in ours.items():
        true = counted & (known.instance_ids == true_id)
        if true.sum() < MIN_OBJECT_POINTS:
            continue
        # of an object that cameras did not find to be one, the larger part counts
        on_it = labels.points.instance_ids[true]
        best = max(sorted(label_ids), key=lambda label_id: np.count_nonzero(on_it == label_id))
        found = counted & (labels.points.instance_ids == best)
        behind = found & ~true & (ranges_m > ranges_m[true].max())
        kinds = (true & found, true, found, behind)
        rows.append(np.array([np.count_nonzero(kind) for kind in kinds], np.float64))
    return rows


def _in_an_image(labels: SampleLabels, scene: Scene) -> Bool:
    inside = np.zeros(len(scene.points_lidar), bool)
    cameras = {camera.name: camera for camera in scene.cameras}
    for picture in labels.pictures:
        if picture.camera in cameras:
            camera = cameras[picture.camera]
            inside[points_in_view(camera, scene.points_lidar, picture.size_hw)[0]] = True
    return inside


def _boxed(picture: TruePicture) -> TruePicture:
    """Return the objects that have a box to be found by."""
    boxes = picture.boxes_xyxy
    return picture[np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))]


def gain(ours: Scores, theirs: Scores, seed: int = 0) -> Figure:
    """Return how much the mean IoU of the same objects is higher, with an interval over objects."""
    return paired(ours.ious, theirs.ious, seed)


def rows(scores: dict[str, Scores], run: str) -> list[Row]:
    """Return the figures of one run."""
    reference = scores.get(DEPTH_MODE)
    found: list[Row] = []
    for way, one in scores.items():
        found += rows_of(one.figures(), f"{run}, {way}")
        if reference and one is not reference:
            found.append(Row(f"{run}, {way}: {COLUMNS[-1]}", gain(one, reference)))
    return found


def lines(scores: dict[str, Scores]) -> list[str]:
    """Return the table of one run."""
    cells = [["", *COLUMNS]]
    for way, found in scores.items():
        figures = [f"{value:.4f}" for value in found.figures().values()]
        reference = scores.get(DEPTH_MODE)
        cells.append([way, *figures, gain(found, reference).text() if reference else ""])
    objects = len(next(iter(scores.values())).counts)
    return [f"{objects} objects", *text_table(cells)]
