"""The pictures that were labelled, for what shows them again: exports, cut-outs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from perception.core.errors import RequestError, SampleError
from perception.core.types import PictureLabels, UInt8
from perception.io.images import STORED, Reading, decode_image, is_as_shown

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a run are, and how they were read.

    Attributes:
        root: Folder that their file names are relative to.
        reading: As labels were made.
        outside: Files out of the root that links may lead to, see `SampleRef.outside`.
    """

    root: Path
    reading: Reading = STORED
    outside: frozenset[str] = frozenset()

    def place(self, picture: PictureLabels, owner: str) -> Path:
        """Return where a picture is; links lead where the plan names.

        Raises:
            RequestError: `path.outside_root`.
        """
        path = self.root.resolve() / picture.file_name
        found = path.resolve()
        if not found.is_relative_to(self.root.resolve()) and str(found) not in self.outside:
            raise RequestError("path.outside_root", f"{owner}: leads to {found}")
        return path

    def pixels(self, picture: PictureLabels, owner: str) -> UInt8:
        """Return (H, W, 3) RGB: the picture that was labelled.

        Raises:
            RequestError: `path.outside_root`; `size.mismatch` for a picture that is another now;
                `io.not_found` and the other codes of `decode_image`.
        """
        path = self.place(picture, owner)
        image = _told(owner, decode_image, path, self.reading)
        if image.shape[:2] != picture.size_hw:
            raise RequestError(
                "size.mismatch",
                f"{path}: is {image.shape[:2]}, {picture.size_hw} was labelled; restore the "
                "picture",
            )
        return image

    def file_is_as_labelled(self, picture: PictureLabels, owner: str) -> bool:
        """Tell whether every tool that opens the file sees what was labelled; reads its header.

        Not so for a picture that an Orientation turns, for 16 bit, and for rare formats.

        Raises:
            RequestError: as `pixels`.
        """
        return _told(owner, is_as_shown, self.place(picture, owner))


def _told(owner: str, read: Callable[..., Answer], path: Path, *more: Reading) -> Answer:
    try:
        return read(path, *more)
    except SampleError as error:
        raise RequestError(error.code, f"{owner}: {error.message}") from error
