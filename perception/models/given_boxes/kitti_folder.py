"""Boxes of KITTI label files, one per image: label_2, or a folder of one's own."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from perception.core.errors import SampleError
from perception.core.types import Detections, Picture
from perception.formats import kitti_boxes, kitti_label

LABEL_2 = "label_2"  # `--boxes label_2`: the folder beside each image's


class KittiBoxes:
    """Boxes from KITTI label files, one per image.

    Args:
        root: The dataset's root.
        folder: Where the files are; None: in label_2 beside each image's folder.
        parallel: True if `folder` is a tree parallel to the images, as images of one stem may lie
            in two folders; False if it is flat, as KITTI's own are.
        file_names: Of the planned pictures, relative to the root.
        notices: How the files were understood.
    """

    names_files: tuple[Path, ...] = ()

    def __init__(
        self,
        root: Path,
        folder: Path | None,
        *,
        parallel: bool = False,
        file_names: Sequence[str] = (),
        notices: tuple[str, ...] = (),
    ) -> None:
        """Keep the places."""
        self.notices = notices
        self._root = root
        self._folder = folder
        self._parallel = parallel
        self._file_names = file_names

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Return KITTI's types, or where files have others, those that the files have.

        A file that cannot be read says nothing here: its picture is quarantined later.
        """
        used = set[str]()
        for file_name in self._file_names:
            try:
                rows = list(kitti_boxes.rows_of(self.label_file(file_name)))
            except SampleError:
                continue
            used.update(row.kind for row in rows if isinstance(row, kitti_boxes.Box))
        return kitti_label.TYPES if used <= set(kitti_label.TYPES) else tuple(sorted(used))

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image; a missing file means unlabelled, not empty."""
        path = self.label_file(picture.file_name)
        if not path.is_file():
            raise SampleError("io.not_found", f"{path}: no such file, expected the image's boxes")
        return kitti_boxes.read(path)

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image should be."""
        image = PurePosixPath(file_name)
        folder = self._folder or self._root / image.parent.parent / LABEL_2
        return folder / (image.with_suffix(".txt") if self._parallel else f"{image.stem}.txt")
