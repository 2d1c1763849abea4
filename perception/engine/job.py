"""What a worker is told: a run folder, its settings, and where the weights lie here."""

from pathlib import Path

from perception import backends, prompts
from perception.config import Settings
from perception.pipeline import Models, Rules
from perception.ports import Detector
from perception.runs.folder import RunSpec

PREVIEW_SAMPLES = 100  # overlays of a run: enough to judge it by eye, few enough to cost nothing


class Job(Settings):
    """Plain values only: this crosses process borders as JSON.

    Attributes:
        run: The run folder, absolute.
        spec: The settings of the run.
        detector_path: Weights of the detector on this machine; "" where boxes are given.
        segmenter_path: Weights of the segmenter on this machine.
        boxes: What `--boxes` said; "" where a detector looks.
        layout: Of the source.
        root: Of the source.
    """

    run: str
    spec: RunSpec
    detector_path: str
    segmenter_path: str
    boxes: str
    layout: str
    root: str

    def rules(self) -> Rules:
        """Return what decisions depend on."""
        return rules_of(self.spec)


def rules_of(spec: RunSpec) -> Rules:
    """Return what the decisions of a run depend on."""
    return Rules(config=spec.config.decide, ontology=spec.ontology, class_map=spec.class_map)


def load_models(job: Job) -> Models:
    """Build the models of a job and check that every class they can name is mapped or ignored.

    Raises:
        RequestError: `class.unknown`, `weights.*`, `extra.missing`.
    """
    config = job.spec.config.observe
    detector: Detector
    if job.boxes:
        detector = prompts.open_boxes(job.boxes, job.layout, Path(job.root))
    else:
        detector = backends.load_detector(job.spec.detector.kind, Path(job.detector_path), config)
    job.spec.class_map.check_names(detector.class_names)
    segmenter = backends.load_segmenter(job.spec.segmenter.kind, Path(job.segmenter_path), config)
    return Models(detector=detector, segmenter=segmenter)
