"""Boxes of the KITTI tracking benchmark: label_02, one file for all frames of a sequence."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from perception.core.errors import SampleError
from perception.core.types import Detections, Picture
from perception.formats import kitti_boxes
from perception.formats.kitti_boxes import Box, Fault

LABEL_02 = "label_02"  # `--boxes label_02`: the folder beside image_02


class TrackingBoxes:
    """Boxes from label_02/0000.txt for image_02/0000/000000.png; a frame without a row has none.

    Args:
        root: The dataset's root.
        file_names: Of the planned pictures, relative to the root.
    """

    notices: tuple[str, ...] = ()
    names_files: tuple[Path, ...] = ()

    def __init__(self, root: Path, file_names: Sequence[str] = ()) -> None:
        self._root = root
        self._file_names = file_names
        self._frames_of = lru_cache(maxsize=4)(kitti_boxes.rows_by_frame)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Return the types of the files; one that cannot be read says nothing here."""
        used = set[str]()
        for path in dict.fromkeys(map(self.label_file, self._file_names)):
            try:
                frames = self._frames_of(path)
            except SampleError:
                continue
            used |= {row.kind for rows in frames.values() for row in rows if isinstance(row, Box)}
        return tuple(sorted(used))

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image; a missing file means unlabelled, not empty."""
        path, stem = self.label_file(picture.file_name), PurePosixPath(picture.file_name).stem
        if not (stem.isascii() and stem.isdigit()):
            raise SampleError(
                "boxes.missing", f"{picture.file_name}: expected a frame number, such as 000012.png"
            )
        rows: list[Box | Fault] = self._frames_of(path).get(int(stem), [])
        return kitti_boxes.detections(rows)

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image should be."""
        sequence = PurePosixPath(file_name).parent
        return self._root / sequence.parent.parent / LABEL_02 / f"{sequence.name}.txt"
