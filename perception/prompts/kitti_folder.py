"""Boxes of KITTI label files, one per image: label_2, or a folder of one's own."""

from pathlib import Path, PurePosixPath

from perception.errors import SampleError
from perception.formats import kitti_label
from perception.types import Detections, Picture

LABEL_2 = "label_2"  # `--boxes label_2`: the folder beside each image's


class KittiBoxes:
    """Boxes from KITTI label files, one per image.

    Args:
        root: The dataset's root.
        folder: Where the files are; None: in label_2 beside each image's folder.
        parallel: True if `folder` is a tree parallel to the images, as images of one stem may lie
            in two folders; False if it is flat, as KITTI's own are.
    """

    class_names = kitti_label.TYPES
    notices: tuple[str, ...] = ()
    names_files: tuple[Path, ...] = ()

    def __init__(self, root: Path, folder: Path | None, *, parallel: bool = False) -> None:
        """Keep the places."""
        self._root = root
        self._folder = folder
        self._parallel = parallel

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image; a missing file means unlabelled, not empty."""
        path = self.label_file(picture.file_name)
        if not path.is_file():
            raise SampleError("io.not_found", f"{path}: no such file, expected the image's boxes")
        return kitti_label.detections(kitti_label.read(path))

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image should be."""
        image = PurePosixPath(file_name)
        folder = self._folder or self._root / image.parent.parent / LABEL_2
        return folder / (image.with_suffix(".txt") if self._parallel else f"{image.stem}.txt")
