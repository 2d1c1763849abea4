"""Boxes of YOLO txt files in a tree parallel to the images, or matched by name."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from perception.core.types import Detections, Picture
from perception.formats import yolo_rows
from perception.formats.yolo_rows import Meaning


class YoloBoxes:
    """Boxes from YOLO txt files; no file means no object.

    Args:
        folder: Where the files are.
        class_names: Of the class numbers.
        meaning: Of the numbers of a row, the same in all files; None: boxes and polygons.
        matched: Picture name to file, where the files lie in no tree like that of the images.
        names_files: That `class_names` and `meaning` were read from.
        notices: How the files were understood.
    """

    def __init__(
        self,
        folder: Path,
        class_names: tuple[str, ...],
        meaning: Meaning | None = None,
        *,
        matched: Mapping[str, Path] | None = None,
        names_files: tuple[Path, ...] = (),
        notices: tuple[str, ...] = (),
    ) -> None:
        """Keep the place and what the files mean."""
        self._folder = folder
        self._meaning = meaning
        self._matched = matched or {}
        self.class_names = class_names
        self.names_files = names_files
        self.notices = notices

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image."""
        path = self.label_file(picture.file_name)
        return yolo_rows.read_boxes(path, picture.size_hw, self.class_names, self._meaning)

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image are, or would be."""
        return self._matched.get(file_name) or label_file(self._folder, file_name)


def label_file(folder: Path, file_name: str) -> Path:
    """Return where the boxes of an image are, or would be.

    Beside the image's own path, or with `images` left out, or with `labels` in its place, as
    ultralytics has it; or in a folder `labels`, if the images were named by their folder.
    """
    relative = str(PurePosixPath(file_name).with_suffix(".txt"))
    *folders, last = relative.split("/")
    places = [relative]
    if "images" in folders:
        at = len(folders) - 1 - folders[::-1].index("images")
        before, after = folders[:at], [*folders[at + 1 :], last]
        places += ["/".join((*before, *after)), "/".join((*before, "labels", *after))]
    else:
        places.append(f"labels/{relative}")
    # As text, since all of 100,000 pictures are looked for before the work: a Path takes longer.
    found = [place for place in places if os.path.isfile(f"{folder}/{place}")]  # noqa: PTH113
    return folder / (found or places)[0]
