"""Boxes of YOLO txt files in a tree parallel to the images."""

from pathlib import Path, PurePosixPath

from perception.errors import RequestError
from perception.formats import yolo
from perception.types import Detections, Picture


class YoloBoxes:
    """Boxes from YOLO txt files in a tree parallel to the images; no file means no object."""

    notices: tuple[str, ...] = ()

    def __init__(self, folder: Path, class_names: tuple[str, ...]) -> None:
        """Keep the place and the names of data.yaml."""
        self._folder = folder
        self.class_names = class_names

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image."""
        path = self.label_file(picture.file_name)
        return yolo.read_boxes(path, picture.size_hw, self.class_names)

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image are, or would be.

        Beside the image's own path, with `images` left out, or with `labels` in its place, as
        ultralytics has it.
        """
        relative = PurePosixPath(file_name).with_suffix(".txt")
        parts = list(relative.parts)
        places = [relative]
        if "images" in parts[:-1]:
            last = len(parts) - 2 - parts[-2::-1].index("images")
            before, after = parts[:last], parts[last + 1 :]
            places += [PurePosixPath(*before, *after), PurePosixPath(*before, "labels", *after)]
        found = [place for place in places if (self._folder / place).is_file()]
        return self._folder / (found or places)[0]


def find_data_yaml(folder: Path) -> Path | None:
    """Return the data.yaml of a YOLO folder; None for a KITTI folder, whose rows begin with names.

    Raises:
        RequestError: `boxes.invalid` for YOLO rows without a data.yaml, and without a txt file.
    """
    places = [place / "data.yaml" for place in (folder, *list(folder.resolve().parents)[:2])]
    data_yaml = next((place for place in places if place.is_file()), None)
    paths = sorted(folder.rglob("*.txt"))
    if not paths:
        raise RequestError("boxes.invalid", f"{folder}: holds no .txt file")
    for path in paths:
        words = path.read_text(encoding="utf-8", errors="replace").split()
        if words and not words[0][:1].isdigit():
            return None
        if words and data_yaml is None:
            raise RequestError(
                "boxes.invalid",
                f"{path}: looks like YOLO boxes, but no data.yaml with `names` lies in "
                f"{folder} or the two folders above it",
            )
        if words:
            break
    return data_yaml
