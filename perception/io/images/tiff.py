"""TIFF and BigTIFF: the first page. Exif's blocks are small TIFFs, so Orientation is read here.

Source: TIFF 6.0 (1992); the BigTIFF addition of libtiff. All that libtiff would allocate by is
checked here first: size, channels, tiles, and that every strip lies inside the file.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from perception.io.images.declared import FileFaultError, Format, sized, take

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_ENTRIES = 4096
MAX_VALUES = 1 << 20  # strips or tiles of a page
MAX_CHANNELS = 4
MAX_TILE_PX = 64_000_000
WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, CHANNELS = 256, 257, 258, 262, 274, 277
STRIPS, TILES = (273, 279), (324, 325)  # offsets and byte counts
TILE_WIDTH, TILE_HEIGHT, SAMPLE_FORMAT = 322, 323, 339
PHOTOMETRICS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # of the types that are whole numbers


class _Entry(NamedTuple):
    kind: int
    values: int
    position: int  # of the values


class Directory:
    """The entries of a file's first page."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read where the values of each entry lie.

        Raises:
            FileFaultError: `image.unsupported`, `image.truncated`.
        """
        self._stream = stream
        stream.seek(0)
        head = take(stream, 8)
        if head[:4] not in HEADS:
            raise FileFaultError("image.unsupported", "is no TIFF")
        self._order: Literal["little", "big"] = "little" if head[:1] == b"I" else "big"
        self._big = b"+" in head[:4]
        self._word = 8 if self._big else 4
        start = self._number(take(stream, 8)) if self._big else self._number(head[4:])
        stream.seek(start)
        count = self._number(take(stream, 8 if self._big else 2))
        if not 1 <= count <= MAX_ENTRIES:
            raise FileFaultError("image.unsupported", f"TIFF page with {count} entries")
        self._entries = dict(self._read(count))
        self.has_more = any(take(stream, self._word))

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, self._order)

    def _read(self, count: int) -> Iterator[tuple[int, _Entry]]:
        for _ in range(count):
            tag, kind = (self._number(take(self._stream, 2)) for _ in range(2))
            values = self._number(take(self._stream, self._word))
            position = self._stream.tell()
            inline = take(self._stream, self._word)
            if _SIZES.get(kind, 1) * values > self._word:
                position = self._number(inline)
            yield tag, _Entry(kind, values, position)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of an entry; () where it is not there.

        Raises:
            FileFaultError: `image.unsupported`, `image.truncated`.
        """
        entry = self._entries.get(tag)
        if entry is None:
            return ()
        size = _SIZES.get(entry.kind, 0)
        if not size or entry.values > MAX_VALUES:
            raise FileFaultError(
                "image.unsupported",
                f"TIFF tag {tag} with {entry.values} values of type {entry.kind}",
            )
        self._stream.seek(entry.position)
        data = take(self._stream, size * entry.values)
        return tuple(
            self._number(data[start : start + size]) for start in range(0, len(data), size)
        )

    def number(self, tag: int, default: int) -> int:
        """Return the first number of an entry."""
        return next(iter(self.numbers(tag)), default)

    def place(self, tag: int) -> tuple[int, bytes]:
        """Return where an entry's first value lies, and the bytes that make it 1."""
        entry = self._entries[tag]
        return entry.position, (1).to_bytes(_SIZES[entry.kind], self._order)


def orientation(stream: BinaryIO) -> int:
    """Return the Orientation of the first page; 1 for none, or a wrong one."""
    found = Directory(stream).number(ORIENTATION, 1)
    return found if 1 <= found <= 8 else 1


def as_stored(data: bytes) -> bytes:
    """Return a file without its Orientation: OpenCV turns TIFFs whatever it is told, and wrongly.

    Raises:
        FileFaultError: as `Directory`.
    """
    directory = Directory(io.BytesIO(data))
    if not directory.numbers(ORIENTATION):
        return data
    position, one = directory.place(ORIENTATION)
    return data[:position] + one + data[position + len(one) :]


def _size(stream: BinaryIO) -> tuple[int, int]:
    directory = Directory(stream)
    bits, channels = directory.numbers(BITS) or (1,), directory.number(CHANNELS, 1)
    kind = directory.number(PHOTOMETRIC, 1)
    if channels > MAX_CHANNELS or len(bits) > MAX_CHANNELS:
        raise FileFaultError(
            "image.unsupported", f"TIFF with {channels} channels, expected 1, 3 or 4"
        )
    if set(bits) - {1, 2, 4, 8, 16} or directory.number(SAMPLE_FORMAT, 1) != 1:
        raise FileFaultError(
            "image.unsupported",
            f"TIFF of {max(bits)} bit or of fractions, expected whole numbers of 8 or 16 bit",
        )
    if kind not in PHOTOMETRICS:
        raise FileFaultError(
            "image.unsupported",
            f"TIFF with colours of kind {kind} (PhotometricInterpretation), expected "
            f"{', '.join(dict.fromkeys(PHOTOMETRICS.values()))}; convert it to RGB",
        )
    if directory.number(TILE_WIDTH, 0) * directory.number(TILE_HEIGHT, 0) > MAX_TILE_PX:
        raise FileFaultError("image.unsupported", "TIFF with tiles too large to read")
    return sized(directory.number(WIDTH, 0), directory.number(HEIGHT, 0))


def _is_complete(data: bytes) -> bool:
    directory = Directory(io.BytesIO(data))
    for offsets, counts in (STRIPS, TILES):
        starts, lengths = directory.numbers(offsets), directory.numbers(counts)
        if starts and len(starts) == len(lengths):
            return all(
                start + length <= len(data) for start, length in zip(starts, lengths, strict=True)
            )
    raise FileFaultError("image.unsupported", "TIFF without a table of its strips or tiles")


def has_more(stream: BinaryIO) -> bool:
    """Tell whether pages follow the first."""
    return Directory(stream).has_more


TIFF = Format("TIFF", _size, _is_complete, orientation)
