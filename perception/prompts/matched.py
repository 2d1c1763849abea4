"""Boxes of a COCO JSON file, matched by file name."""

from collections import Counter
from pathlib import Path, PurePosixPath

from perception.errors import RequestError, SampleError
from perception.formats import coco
from perception.types import Detections, Picture


class CocoBoxes:
    """Boxes from a COCO JSON file, matched by `file_name` relative to the source folder.

    Args:
        path: The file.
        by_frame: Match by the frame number alone, as KITTI's people name images: "000114.png".
    """

    notices: tuple[str, ...] = ()

    def __init__(self, path: Path, *, by_frame: bool = False) -> None:
        """Read the file once."""
        self._path = path
        self._by_frame = by_frame
        pictures = coco.read(path)
        counts = Counter(self._key(entry.file_name) for entry in pictures)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise RequestError(
                "boxes.invalid",
                f"{path}: {len(repeated)} file_name stand in more than one image: {repeated[:5]}; "
                "expected each once",
            )
        self._pictures = {self._key(entry.file_name): entry for entry in pictures}
        first = next(iter(pictures), None)
        self.class_names: tuple[str, ...] = (
            first.annotations.detections.class_names if first else ()
        )

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image."""
        entry = self._pictures.get(self._key(picture.file_name))
        if entry is None:
            raise SampleError(
                "boxes.missing",
                f"{self._path}: no image has file_name {picture.file_name!r}; file names are "
                "relative to the source folder",
            )
        if entry.size_hw != picture.size_hw:
            raise SampleError(
                "size.mismatch",
                f"{picture.file_name}: the image is {picture.size_hw[1]} x {picture.size_hw[0]}, "
                f"{self._path} says {entry.size_hw[1]} x {entry.size_hw[0]}",
            )
        return entry.annotations.detections[~entry.annotations.iscrowd]  # crowds are regions

    def _key(self, file_name: str) -> str:
        return PurePosixPath(file_name).stem if self._by_frame else file_name
