"""What labels are worth: one student, trained on four kinds of them, judged by exact truth.

    OUT/settings.json            what was asked for; a repeated command must ask for the same
    OUT/drives/PART              synthetic drives: train, val, test
    OUT/labels/ARM/PART          runs; the arm of true masks needs none
    OUT/exports/ARM/PART         what a student is trained on, and counts.json, written last
    OUT/students/ARM-SEED        weights and card.json, written last
    OUT/runs/ARM-SEED            the student's own labels of the test drive
    OUT/gain.json                the result

The arms see the same images and name the same classes; their masks differ, and which objects they
leave out: an export drops what was not accepted, and a student then learns it as background. What
a drive itself leaves out shows less than 100 pixels; no arm with true boxes has it either. Each arm
picks its best epoch on validation images that were labelled like its training images.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.commands.results import parse_statuses
from perception.commands.train import TrainRequest, train
from perception.core.config import Settings, TrainConfig
from perception.core.errors import RequestError
from perception.core.progress import step
from perception.core.text import text_table
from perception.core.types import Status
from perception.core.version import __version__
from perception.evaluation import Figure, pooled
from perception.evaluation.pooled import COLUMNS, Precision
from perception.io.files import refuse_occupied
from perception.models import registry
from perception.runs import records
from perception.synthetic.command import synthesize
from perception.synthetic.rays import Caster

ARMS = {
    "truth": "true masks",
    "sam": "SAM masks from true boxes",
    "detector": "SAM masks from detector boxes",
    "boxes": "true boxes as masks",
}
PAIRS = (("sam", "truth"), ("detector", "sam"), ("boxes", "sam"))
# Other streets than those of the shipped detector (Makefile, `pocket`): it must not know them.
DRIVE_SEEDS = {"train": 6000, "val": 6500, "test": 7500}
SCENE_FRAMES, STRIDE = 2, 10  # many streets: two frames of each, a second apart
STUDENT = "yolo11n-seg.yaml"
STUDENT_FLOOR = 0.05  # of scores: average precision ranks weak detections too
NOTES = (
    "Interval: 1,000 draws of test scenes and of seeds (S - 1 of S, with replacement), percentiles "
    "2.5 and 97.5. Differences use the same draws on both sides.",
    f"Masks of the student's own boxes from score {STUDENT_FLOOR} on; images of synthetic streets.",
)


class GainConfig(Settings):
    """How large the experiment is.

    Small batches, since from scratch and in few epochs steps count more than their precision.
    """

    frames: int = Field(default=100, ge=1)
    val_frames: int = Field(default=10, ge=1)
    test_frames: int = Field(default=60, ge=1)
    epochs: int = Field(default=12, ge=1)
    image_px: int = Field(default=512, ge=32)
    batch: int = Field(default=2, ge=1)
    seeds: int = Field(default=3, ge=1)
    status: str = "accepted"  # of labels, as `export --status` takes it

    def frames_of(self, part: str) -> int:
        """Return the frames of a drive."""
        return {"train": self.frames, "val": self.val_frames, "test": self.test_frames}[part]


@dataclass(frozen=True)
class GainRequest:
    """A request to measure the gain.

    Attributes:
        out: Folder for all that is made; may hold an earlier call with the same settings.
        detector: Weights that know the road classes by name, for the arm of detector boxes.
        segmenter: As for `label`.
        config: How much.
    """

    out: Path
    detector: str
    segmenter: str
    config: GainConfig = field(default_factory=GainConfig)


@dataclass(frozen=True)
class ArmResult:
    """What the students of one arm came to.

    Attributes:
        arm: Key of `ARMS`.
        labels: Objects that each was trained on.
        images: Images that each was trained on, those without objects included.
        left_out: Why objects were not labels, and how many.
        figures: `pooled.COLUMNS` to the mean over seeds.
        by_seed: `pooled.COLUMNS` to the figure of each seed.
    """

    arm: str
    labels: int
    images: int
    left_out: dict[str, int]
    figures: dict[str, Figure]
    by_seed: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Verdict:
    """How two arms compare.

    Attributes:
        arm: Key of `ARMS`.
        other: Key of `ARMS`.
        difference: AP of `arm` above `other`.
    """

    arm: str
    other: str
    difference: Figure

    @property
    def word(self) -> str:
        """Return "better", "worse" or "not told apart": whether the interval leaves out 0."""
        low, high = self.difference.low, self.difference.high
        if low is not None and low > 0:
            return "better"
        return "worse" if high is not None and high < 0 else "not told apart"

    def sentence(self) -> str:
        """Return the verdict in words."""
        joint = "from" if self.word == "not told apart" else "than"
        return (
            f"{ARMS[self.arm]}: {self.word} {joint} {ARMS[self.other]}, "
            f"AP difference {self.difference.text()}"
        )


@dataclass(frozen=True)
class Gain:
    """The result: a row for each arm, a verdict for each of `PAIRS`."""

    config: GainConfig
    arms: tuple[ArmResult, ...]
    verdicts: tuple[Verdict, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "settings": self.config.model_dump(mode="json"),
            "arms": {one.arm: {"labels_from": ARMS[one.arm], **asdict(one)} for one in self.arms},
            "verdicts": [
                {**asdict(one), "word": one.word, "sentence": one.sentence()}
                for one in self.verdicts
            ],
            "notes": list(NOTES),
        }

    def report(self) -> Measurement:
        """Return the figures, and the table, the verdicts and how they were come by."""
        head = ["student trained on", *COLUMNS, "objects", "images", "labels"]
        rows = [
            [
                ARMS[one.arm],
                *(one.figures[column].text() for column in COLUMNS),
                *(str(n) for n in (one.figures["AP"].n, one.images, one.labels)),
            ]
            for one in self.arms
        ]
        lines = [*text_table([head, *rows]), "", *(v.sentence() for v in self.verdicts), *NOTES]
        kept = [
            row
            for one in self.arms
            for row in (
                *(Row(f"{ARMS[one.arm]}: {c}", figure) for c, figure in one.figures.items()),
                *rows_of({"labels": one.labels}, ARMS[one.arm]),
            )
        ]
        kept += [
            Row(f"{ARMS[v.arm]}, less {ARMS[v.other]}: AP", v.difference) for v in self.verdicts
        ]
        return Measurement(kept, lines, self.to_dict())


def measure_gain(request: GainRequest, caster: Caster, tell: Callable[[str], None]) -> Gain:
    """Make drives, labels and students, judge the students, and write OUT/gain.json.

    What an earlier call with the same settings has finished stays: drives, runs, students.

    Args:
        request: What to measure.
        caster: Casts the rays of the drives.
        tell: Called with a line before each step.

    Raises:
        RequestError: `gain.mismatch`, `output.exists` for an OUT that holds something else;
            `gain.quarantined` if an image could not be labelled: the arms would differ in images.
    """
    out, config = request.out, request.config
    _begin(request)
    for part in DRIVE_SEEDS:
        tell(f"drive {part}: {config.frames_of(part)} frames")
        _synthesize(out / "drives" / part, part, config, caster)
    for arm in ARMS:
        for part in ("train", "val"):
            tell(f"labels {part}: {ARMS[arm]}")
            _export(request, arm, part)
    students = [(arm, seed) for seed in range(config.seeds) for arm in ARMS]
    found: dict[str, list[Precision]] = {arm: [] for arm in ARMS}
    for number, (arm, seed) in enumerate(students, start=1):
        tell(f"student {number} of {len(students)}: {ARMS[arm]}, seed {seed}")
        found[arm].append(_student(out, arm, seed, config))
    gain = Gain(
        config=config,
        arms=tuple(_arm_result(out, arm, found[arm]) for arm in ARMS),
        verdicts=tuple(
            Verdict(arm, other, pooled.difference(found[arm], found[other], "AP"))
            for arm, other in PAIRS
        ),
    )
    records.write_json(out / "gain.json", gain.to_dict())
    return gain


def _begin(request: GainRequest) -> None:
    """Check what was asked, and claim the folder for it."""
    parse_statuses(request.config.status)
    asked = {
        "detector": registry.choose_detector(request.detector, False).spec.model_dump(mode="json"),
        "segmenter": registry.choose_segmenter(request.segmenter).spec.model_dump(mode="json"),
        "settings": request.config.model_dump(mode="json"),
        "code_version": __version__,
    }
    path = request.out / "settings.json"
    if path.is_file():
        there = records.read_json(path)
        changed = [key for key in asked if there.get(key) != asked[key]]
        if changed:
            shown = "; ".join(f"{k}: {there.get(k)} there, {asked[k]} asked for" for k in changed)
            raise RequestError(
                "gain.mismatch",
                f"{request.out} was made with other settings ({shown}); choose another --out",
            )
    else:
        refuse_occupied(request.out)
        records.write_json(path, asked)


def _emptied(folder: Path) -> Path:
    """Return a folder of ours without what a killed call left in it."""
    if folder.exists():
        shutil.rmtree(folder)
    return folder


def _synthesize(drive: Path, part: str, config: GainConfig, caster: Caster) -> None:
    if (drive / "card.json").is_file():
        return
    synthesize(
        _emptied(drive),
        config.frames_of(part),
        DRIVE_SEEDS[part],
        caster,
        step,
        scene_frames=SCENE_FRAMES,
        stride=STRIDE,
    )


def _export(request: GainRequest, arm: str, part: str) -> None:
    out = request.out / "exports" / arm / part
    if (out / "counts.json").is_file():
        return
    statuses = parse_statuses(request.config.status)
    if arm == "truth":  # whatever counts as a label: the truth of tiny objects is for review
        statuses = (Status.ACCEPTED,)
    (done,) = export(_labels(request, arm, part), "yolo", _emptied(out), statuses=statuses)
    written = done.written
    counts = {
        "images": written.samples,
        "labels": written.labels,
        "left_out": {
            **dict(written.left_out),
            **({"painted over": written.ignored} if written.ignored else {}),
        },
    }
    records.write_json(out / "counts.json", counts)


def _labels(request: GainRequest, arm: str, part: str) -> Path:
    """Return what is exported for an arm: the drive itself, or a run over it."""
    drive = request.out / "drives" / part
    if arm == "truth":
        return drive
    run = label(
        LabelRequest(
            f"kitti:{drive}",
            request.out / "labels" / arm / part,
            "boxes" if arm == "boxes" else request.segmenter,
            detector=request.detector if arm == "detector" else "",
            # not label_2: KITTI has no name for a bus
            boxes="" if arm == "detector" else str(drive / "truth.json"),
            class_map="road-to-road",
        )
    )
    lost = run.counts["samples"]["quarantined"]
    if lost:
        raise RequestError(
            "gain.quarantined",
            f"{run.folder}: {lost} images could not be labelled, see quarantine.jsonl; the arms "
            "must have the same images",
        )
    return run.folder


def _student(out: Path, arm: str, seed: int, config: GainConfig) -> Precision:
    """Train a student unless its card is there, let it label the test drive, and judge it."""
    folder, exports = out / "students" / f"{arm}-{seed}", out / "exports" / arm
    settings = TrainConfig(
        epochs=config.epochs, image_px=config.image_px, batch=config.batch, seed=seed
    )
    if not (folder / "card.json").is_file():
        train(
            TrainRequest(
                exports / "train", _emptied(folder), STUDENT, val=exports / "val", config=settings
            )
        )
    drive, weights = out / "drives" / "test", str(folder / "best.onnx")
    run = label(
        LabelRequest(
            f"kitti:{drive}",
            out / "runs" / folder.name,
            weights,
            detector=weights,
            class_map="road-to-road",
            overrides={
                "observe": {"min_score": STUDENT_FLOOR, "detect_tiles": "off"},  # masks have none
                "decide": {"judge": {"min_score": STUDENT_FLOOR}},
            },
        )
    )
    return pooled.mask_precision(run.folder, str(drive))


def _arm_result(out: Path, arm: str, found: list[Precision]) -> ArmResult:
    counts = records.read_json(out / "exports" / arm / "train" / "counts.json")
    return ArmResult(
        arm=arm,
        labels=counts["labels"],
        images=counts["images"],
        left_out=counts["left_out"],
        figures={column: pooled.mean(found, column) for column in COLUMNS},
        by_seed={column: tuple(one.values[column] for one in found) for column in COLUMNS},
    )
