"""A sample and its pictures as notebooks and scripts ask for them; read and drawn when asked.

`SampleView` and `PictureView` compute nothing until an attribute is read: masks are stored as
run-lengths, and pictures are where they were when they were labelled. Others' libraries are
imported where they are handed something.
"""

import base64
import html
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.errors import PerceptionError, RequestError
from perception.core.types import (
    Bool,
    Cuboids,
    Float32,
    Instances,
    Int32,
    PictureLabels,
    PointLabels,
    SampleLabels,
    SampleRef,
    Status,
    UInt8,
)
from perception.io.buckets import is_bucket
from perception.io.files import write_bytes
from perception.readers import sources
from perception.visualization import drawing

THUMBNAIL_PX = 320  # width of a picture in a notebook's list
ACCEPTED = "accepted"
PACKAGES = {"PIL": "pillow"}  # where it is not called as what is imported
COLUMNS = (  # of a table with a row for each label
    *("sample", "camera", "file_name", "instance", "class_name", "status", "reasons"),
    *("score", "predicted_iou", "stability", "trust", "by_human", "area_px"),
    *("x0", "y0", "x1", "y1"),
)
WRITERS = {".png": drawing.to_png, ".jpg": drawing.to_jpeg, ".jpeg": drawing.to_jpeg}


def parse_statuses(text: str, option: str = "--status") -> tuple[Status, ...]:
    """Understand "accepted,review".

    Raises:
        RequestError: `config.invalid` for a word that is no status.
    """
    known = {status.name.lower(): status for status in Status}
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise RequestError(
                "config.invalid", f"{option} {word!r}: expected some of {', '.join(known)}"
            )
    return tuple(known[word] for word in words)


def library(name: str, purpose: str) -> Any:
    """Import a library that this package does without.

    Raises:
        RequestError: `extra.missing`, saying what to install.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        if error.name not in (name, top):  # it is there, and lacks something itself
            raise
        install = PACKAGES.get(top, top)
        raise RequestError(
            "extra.missing", f"{purpose} needs {install}: pip install {install}"
        ) from error


@dataclass(frozen=True, eq=False, repr=False)
class PictureView:
    """One picture and its labels; row i of every column is the same object.

    Attributes:
        labels: What was decided.
        ref: The sample that it belongs to.
        class_names: Class id to name.
    """

    labels: PictureLabels
    ref: SampleRef
    class_names: dict[int, str]

    @property
    def camera(self) -> str:
        """Name of the camera."""
        return self.labels.camera

    @property
    def file_name(self) -> str:
        """POSIX path relative to the root of the source."""
        return self.labels.file_name

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.size_hw

    @property
    def instances(self) -> Instances:
        """Everything that is stored of the N objects."""
        return self.labels.instances

    @property
    def masks(self) -> Bool:
        """(N, H, W) bool; N * H * W bytes are allocated at each call."""
        return masks_.decode(self.instances.masks)

    @property
    def boxes(self) -> Float32:
        """(N, 4) float32 prompt boxes, x0, y0, x1, y1 in pixels, half open."""
        return self.instances.boxes_xyxy

    @property
    def class_ids(self) -> Int32:
        """(N,) int32 ids of the run's ontology."""
        return self.instances.class_ids

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the N classes."""
        return tuple(self.class_names[int(number)] for number in self.class_ids)

    @property
    def scores(self) -> Float32:
        """(N,) float32 scores of the detector."""
        return self.instances.scores

    @property
    def statuses(self) -> tuple[str, ...]:
        """Of N objects: accepted, review or rejected."""
        return tuple(Status(status).name.lower() for status in self.instances.statuses)

    @property
    def reasons(self) -> tuple[tuple[str, ...], ...]:
        """Of N objects: why each has its status."""
        return self.instances.reasons

    @property
    def accepted(self) -> "PictureView":
        """The same picture with accepted objects only."""
        return self.only(ACCEPTED)

    def only(self, statuses: str) -> "PictureView":
        """Return the same picture with objects of some statuses, such as "accepted,review"."""
        wanted = parse_statuses(statuses, "statuses")
        rows = self.instances[np.isin(self.instances.statuses, wanted)]
        return replace(self, labels=replace(self.labels, instances=rows))

    @cached_property
    def image(self) -> UInt8:
        """(H, W, 3) uint8 RGB, read-only, as the models saw it.

        Raises:
            SampleError: for a picture that is not there any more, or not the one that was labelled.
        """
        mine = [picture for picture in self.ref.pictures if picture.camera == self.camera]
        (found,) = sources.load_pictures(replace(self.ref, pictures=tuple(mine)))
        if found.size_hw != self.size_hw:
            raise PerceptionError(
                "image.changed",
                f"{self.file_name}: is {found.size_hw} (height, width), was {self.size_hw} when it "
                "was labelled",
            )
        return found.image_rgb

    def overlay(self) -> UInt8:
        """Return (H, W, 3) RGB: the picture with masks, boxes, classes and statuses on it."""
        return drawing.overlay(self.image, self.labels, self.class_names)

    def plot(self) -> Any:
        """Return `overlay` as a PIL image, which notebooks show.

        Raises:
            RequestError: `extra.missing` without Pillow.
        """
        return library("PIL.Image", "plot()").fromarray(self.overlay())

    def save(self, path: Path | str) -> Path:
        """Write `overlay` as a PNG or JPEG file, by the ending of its name; a file is replaced.

        Raises:
            RequestError: `config.invalid` for another ending; `disk.*`.
        """
        path = Path(path)
        encode = WRITERS.get(path.suffix.lower())
        if encode is None:
            raise RequestError(
                "config.invalid", f"{path}: expected a name that ends in {', '.join(WRITERS)}"
            )
        write_bytes(path, encode(self.overlay()))
        return path

    def to_supervision(self, statuses: str = ACCEPTED) -> Any:
        """Return `supervision.Detections`: boxes, masks, class ids, scores, names, statuses.

        Raises:
            RequestError: `extra.missing` without supervision.
        """
        sv, rows = library("supervision", "to_supervision()"), self.only(statuses)
        return sv.Detections(
            xyxy=rows.boxes.astype(np.float32),
            mask=rows.masks,
            confidence=rows.scores.copy(),
            class_id=rows.class_ids.astype(int),
            data={
                "class_name": np.array(rows.names, dtype=str),
                "status": np.array(rows.statuses, dtype=str),
                "instance_id": rows.instances.instance_ids.copy(),
            },
        )

    def to_fiftyone(self, fo: Any, statuses: str = ACCEPTED) -> Any:
        """Return a fiftyone.Sample: masks in the frames of their boxes, in shares of the picture.

        Args:
            fo: The module fiftyone.
            statuses: Which labels it has.

        Raises:
            RequestError: `source.bucket`: FiftyOne opens pictures itself.
        """
        if is_bucket(self.ref.root):
            raise RequestError(
                "source.bucket",
                f"{self.ref.root}: FiftyOne reads pictures from disk; export to COCO instead",
            )
        rows, found = self.only(statuses), []
        height, width = self.size_hw
        crops = rows.instances.masks
        for row, has_mask in enumerate(map(bool, crops.counts)):
            x0, y0, x1, y1 = (crops.boxes_xyxy if has_mask else rows.boxes)[row].tolist()
            box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
            found.append(
                fo.Detection(
                    label=rows.names[row],
                    bounding_box=box,
                    mask=masks_.decode_crop(crops, row) if has_mask else None,
                    confidence=float(rows.scores[row]),
                    status=rows.statuses[row],
                )
            )
        return fo.Sample(
            filepath=str(Path(self.ref.root) / self.file_name),
            labels=fo.Detections(detections=found),
            source_id=self.ref.id,
            camera=self.camera,
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each label as plain values, one row of a table."""
        own, names, statuses = self.instances, self.names, self.statuses
        areas = masks_.areas(own.masks)
        for row, (x0, y0, x1, y1) in enumerate(own.boxes_xyxy.tolist()):
            values = (
                self.ref.id,
                self.camera,
                self.file_name,
                int(own.instance_ids[row]),
                names[row],
                statuses[row],
                ",".join(own.reasons[row]),
                float(own.scores[row]),
                float(own.predicted_ious[row]),
                float(own.stabilities[row]),
                float(own.trusts[row]),
                bool(own.by_human[row]),
                int(areas[row]),
                *(x0, y0, x1, y1),
            )
            yield dict(zip(COLUMNS, values, strict=True))

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.instances)

    def __repr__(self) -> str:
        """Say which picture it is and how much is on it."""
        return f"PictureView({self.file_name!r}, {_counted(len(self), 'label')})"

    def _repr_html_(self) -> str:
        return thumbnail(self)


@dataclass(frozen=True, eq=False, repr=False)
class SampleView(Sequence[PictureView]):
    """One moment of a source: its pictures and the labels of its points.

    A sequence of pictures. Of a sample with one picture the columns may be asked directly:
    `sample.masks` is `sample[0].masks`.

    Attributes:
        labels: What was decided.
        ref: Where it is.
        class_names: Class id to name.
    """

    labels: SampleLabels
    ref: SampleRef
    class_names: dict[int, str]

    @property
    def id(self) -> str:
        """As in the run's plan."""
        return self.labels.id

    @property
    def points(self) -> PointLabels:
        """Labels of the P LiDAR points, in the order of the file; none without a sweep."""
        return self.labels.points

    @cached_property
    def points_lidar(self) -> Float32:
        """(P, 3) float32 metres, LiDAR frame: where the points of `points` are.

        Raises:
            SampleError: for a sweep that cannot be read any more.
        """
        return sources.load_scene(self.ref).points_lidar

    @property
    def cuboids(self) -> Cuboids:
        """3D boxes in the LiDAR's frame."""
        return self.labels.cuboids

    @cached_property
    def pictures(self) -> tuple[PictureView, ...]:
        """One for each camera."""
        own = self.labels.pictures
        return tuple(PictureView(picture, self.ref, self.class_names) for picture in own)

    def only_picture(self) -> PictureView:
        """Return the picture of a sample that has one.

        Raises:
            RequestError: `sample.pictures` for none or several.
        """
        if len(self.pictures) != 1:
            cameras = ", ".join(picture.camera for picture in self.pictures) or "none"
            raise RequestError(
                "sample.pictures",
                f"sample {self.id} has {_counted(len(self.pictures), 'picture')} ({cameras}): ask "
                "one of them, by its number or camera, such as sample[0].masks",
            )
        return self.pictures[0]

    @property
    def masks(self) -> Bool:
        """See `PictureView.masks`."""
        return self.only_picture().masks

    @property
    def boxes(self) -> Float32:
        """See `PictureView.boxes`."""
        return self.only_picture().boxes

    @property
    def names(self) -> tuple[str, ...]:
        """See `PictureView.names`."""
        return self.only_picture().names

    @property
    def scores(self) -> Float32:
        """See `PictureView.scores`."""
        return self.only_picture().scores

    @property
    def statuses(self) -> tuple[str, ...]:
        """See `PictureView.statuses`."""
        return self.only_picture().statuses

    @property
    def image(self) -> UInt8:
        """See `PictureView.image`."""
        return self.only_picture().image

    @property
    def accepted(self) -> PictureView:
        """See `PictureView.accepted`."""
        return self.only_picture().accepted

    def plot(self) -> Any:
        """See `PictureView.plot`."""
        return self.only_picture().plot()

    def save(self, path: Path | str) -> Path:
        """See `PictureView.save`."""
        return self.only_picture().save(path)

    def to_supervision(self, statuses: str = ACCEPTED) -> Any:
        """See `PictureView.to_supervision`."""
        return self.only_picture().to_supervision(statuses)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    @overload
    def __getitem__(self, chosen: int | str) -> PictureView: ...
    @overload
    def __getitem__(self, chosen: slice) -> tuple[PictureView, ...]: ...
    def __getitem__(self, chosen: int | str | slice) -> PictureView | tuple[PictureView, ...]:
        """Return a picture by its number, or by the name of its camera."""
        if not isinstance(chosen, str):
            return self.pictures[chosen]
        for picture in self.pictures:
            if picture.camera == chosen:
                return picture
        raise KeyError(chosen)

    def __repr__(self) -> str:
        """Say which sample it is and how much is in it."""
        labels = _counted(sum(map(len, self.pictures)), "label")
        points = f", {_counted(len(self.points), 'point')}" if len(self.points) else ""
        pictures = f", {_counted(len(self), 'picture')}" if len(self) != 1 else ""
        return f"SampleView({self.id!r}{pictures}, {labels}{points})"

    def _repr_html_(self) -> str:
        return "".join(map(thumbnail, self.pictures)) or html.escape(repr(self))


def thumbnail(picture: PictureView) -> str:
    """Return a small picture with its labels as HTML; a note where it cannot be read any more."""
    said = html.escape(f"{picture.ref.id}: {_counted(len(picture), 'label')}")
    try:
        drawn = picture.overlay()
    except PerceptionError as error:
        return f"<figure><figcaption>{said}; {html.escape(str(error))}</figcaption></figure>"
    width = min(THUMBNAIL_PX, drawn.shape[1])
    height = max(1, round(drawn.shape[0] * width / drawn.shape[1]))
    small = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    data = base64.b64encode(drawing.to_jpeg(small.astype(np.uint8))).decode()
    image = f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}">'
    style = "display:inline-block;margin:4px"
    return f'<figure style="{style}">{image}<figcaption>{said}</figcaption></figure>'


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
