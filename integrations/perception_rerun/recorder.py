"""One .rrd file: sweeps coloured by label, 3D boxes, pictures with their masks.

Rerun's viewer plays it: `rerun recording.rrd`. Entities: `sweep/points` and `sweep/boxes` in the
LiDAR's frame, metres; `pictures/CAMERA` and `pictures/CAMERA/masks`, pixels. Samples follow each
other on the timeline "sample". Source: https://rerun.io/docs/reference/types/archetypes.

Rerun's usage statistics are the viewer's; here they are off all the same, before the import.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.ontology import Ontology
from perception.core.types import PictureLabels, Sample, SampleLabels, Status
from perception.visualization import drawing

APPLICATION = "driving-perception"
NO_CLASS = 65_535  # of points and pixels without a label; Rerun's ids are uint16
OPACITY = 0.5  # of masks over their picture


class RerunRecorder:
    """Adds samples to a recording."""

    def __init__(self, rerun: Any, path: Path, ontology: Ontology) -> None:
        """Begin a file; its folder is made where it is missing."""
        self._rerun = rerun
        self._names = {entry.id: entry.name for entry in ontology.classes}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = rerun.RecordingStream(APPLICATION)
        self._stream.save(path)
        classes = [
            (number, name, drawing.class_rgb(number)) for number, name in self._names.items()
        ]
        context = rerun.AnnotationContext([(NO_CLASS, "no label", (0, 0, 0, 0)), *classes])
        self._stream.log("/", context, static=True)
        self._stream.log("sweep", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def add(self, number: int, sample: Sample, labels: SampleLabels) -> None:
        """Write one sample; what an earlier one showed goes.

        Args:
            number: Its place on the timeline.
            sample: Pictures and sweep.
            labels: Of the same sample; pictures and points in the same order.
        """
        rerun, stream = self._rerun, self._stream
        stream.set_time("sample", sequence=number)
        stream.log("/", rerun.Clear(recursive=True))
        stream.log("name", rerun.TextDocument(sample.id))
        if len(labels.points):
            self._add_sweep(sample, labels)
        for picture, own in zip(sample.pictures, labels.pictures, strict=True):
            place = ["pictures", picture.camera]  # a list: no name from outside is a path
            jpeg = drawing.to_jpeg(picture.image_rgb)
            stream.log(place, rerun.EncodedImage(contents=jpeg, media_type="image/jpeg"))
            masks = rerun.SegmentationImage(class_image(own), opacity=OPACITY)
            stream.log([*place, "masks"], masks)

    def close(self) -> None:
        """Write what is still in memory, and end the file."""
        self._stream.disconnect()

    def _add_sweep(self, sample: Sample, labels: SampleLabels) -> None:
        rerun, points = self._rerun, labels.points
        rows = np.flatnonzero(np.isfinite(sample.scene.points_lidar).all(axis=1))
        class_ids = np.where(points.class_ids < 0, NO_CLASS, points.class_ids)
        self._stream.log(
            "sweep/points",
            rerun.Points3D(
                sample.scene.points_lidar[rows],
                colors=drawing.point_rgb(points)[rows],
                class_ids=class_ids[rows].astype(np.uint16),
            ),
        )
        boxes = labels.cuboids
        if len(boxes) == 0:
            return
        class_of = {
            int(own): int(kind)
            for picture in labels.pictures
            for own, kind in zip(
                picture.instances.instance_ids, picture.instances.class_ids, strict=True
            )
        }
        kinds = [class_of[int(own)] for own in boxes.instance_ids]
        names = zip(kinds, boxes.instance_ids, strict=True)
        self._stream.log(
            "sweep/boxes",
            rerun.Boxes3D(
                centers=boxes.centres_m,
                half_sizes=boxes.sizes_lwh_m / 2,
                rotation_axis_angles=[
                    rerun.RotationAxisAngle((0, 0, 1), radians=float(yaw)) for yaw in boxes.yaws_rad
                ],
                class_ids=np.array(kinds, np.uint16),
                labels=[f"{self._names[kind]} {number}" for kind, number in names],
            ),
        )


def class_image(labels: PictureLabels) -> npt.NDArray[np.uint16]:
    """Return (H, W): the class of the accepted mask of each pixel, small ones over large ones."""
    instances = labels.instances
    image = np.full(labels.size_hw, NO_CLASS, np.uint16)
    for row in np.argsort(-masks_.areas(instances.masks), kind="stable"):
        x0, y0, x1, y1 = instances.masks.boxes_xyxy[row]
        if instances.statuses[row] == Status.ACCEPTED:
            crop = masks_.decode_crop(instances.masks, int(row))
            image[y0:y1, x0:x1][crop] = instances.class_ids[row]
    return image


def load_recorder(path: Path, ontology: Ontology) -> RerunRecorder:
    """Load Rerun and begin a file.

    Raises:
        RequestError: `extra.missing` without rerun-sdk.
    """
    os.environ.setdefault("RERUN_ANALYTICS", "disabled")
    try:
        import rerun
    except (ImportError, OSError) as error:
        raise RequestError(
            "extra.missing",
            f"--rerun needs pip install 'driving-perception[rerun]' ({error})",
        ) from error
    return RerunRecorder(rerun, path, ontology)
