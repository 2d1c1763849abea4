"""Kinds of picture files: told by their first bytes, found in folders by their suffix."""

import re
from functools import cache
from pathlib import PurePosixPath
from typing import BinaryIO

import cv2

from perception.io.images import heif, png, tiff
from perception.io.images.bmp import BMP
from perception.io.images.declared import FileFaultError, Format
from perception.io.images.gif import GIF
from perception.io.images.jpeg import JPEG
from perception.io.images.png import PNG
from perception.io.images.tiff import TIFF
from perception.io.images.webp import WEBP

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".webp"}
    | {".tif", ".tiff"}
)
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
# Pictures to people, which nothing here reads: named where a folder holds them.
OTHER_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        "3fr ai arw avifs cr2 cr3 crw cur dcm dcr dds dng dpx emf eps erf exr fff fits fts hdr "
        "icns ico iiq j2c j2k jls jng jp2 jpc jpf jpm jpx jxl jxr kdc mef mos mrw nef nrw orf pam "
        "pbm pcx pef pfm pgm pict pnm ppm psb psd qoi raf raw rw2 rwl sgi sr2 srf srw svg svgz tga "
        "wbmp wdp wmf x3f xbm xcf xpm"
    ).split()
)
TEXT_PATH = re.compile(rb"[ -~]{1,1024}/[ -~]{1,255}\s?")  # what git leaves where it cannot link
UNREAD: dict[bytes, str] = {
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL": "JPEG XL",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    **{b"P%d%c" % (n, space): "PNM" for n in range(1, 8) for space in b"\n "},
}


@cache
def _opencv_reads(kind: str) -> bool:
    """Tell whether OpenCV was built with a decoder: GIF came with 4.11, AVIF depends on the build.

    Its own list is the one place that says so.
    """
    lines = cv2.getBuildInformation().splitlines()
    found = next((line for line in lines if line.strip().startswith(f"{kind}:")), "NO")
    return not found.rpartition(":")[2].strip().startswith("NO")


@cache
def read_suffixes() -> frozenset[str]:
    """Return the suffixes of files that can be read here, in lower case."""
    found = set(SUFFIXES)
    found |= {".gif"} if _opencv_reads("GIF") else set()
    found |= {".avif"} if _opencv_reads("AVIF") else set()
    found |= HEIC_SUFFIXES if heif.reads_heic() else set()
    return frozenset(found)


def is_read(file_name: str) -> bool:
    """Tell whether a file's name says that it is a picture which can be read."""
    return PurePosixPath(file_name).suffix.lower() in read_suffixes()


def unread_suffix(file_name: str) -> str:
    """Return the suffix of a picture that cannot be read; "" for all other files."""
    suffix = PurePosixPath(file_name).suffix.lower()
    known = OTHER_SUFFIXES | HEIC_SUFFIXES | {".gif", ".avif"}
    return suffix if suffix in known - read_suffixes() else ""


def remedy_for(suffix: str) -> str:
    """Say what reads a suffix that cannot be read."""
    if suffix in HEIC_SUFFIXES:
        return heif.GET_HEIC
    if suffix in {".gif", ".avif"}:
        return "a newer opencv-python reads it"
    return "convert it to JPEG or PNG"


def format_of(stream: BinaryIO) -> Format:
    """Tell the format of a file by its first bytes.

    Raises:
        FileFaultError: `image.empty`, `image.unsupported`, `image.not_an_image`.
    """
    stream.seek(0)
    head = stream.read(64)
    if not head:
        raise FileFaultError("image.empty", "has no bytes")
    if head.startswith(b"\xff\xd8"):
        return JPEG
    if head.startswith(png.SIGNATURE):
        return PNG
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return BMP
    if head.startswith(tiff.HEADS):
        return TIFF
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head[4:8] == b"ftyp":
        return heif.format_of(stream)
    for magic, name in UNREAD.items():
        if head.startswith(magic):
            raise FileFaultError("image.unsupported", f"is {name}; convert it to PNG or JPEG")
    raise FileFaultError("image.not_an_image", _what_it_is(head, stream))


def link_as_text(stream: BinaryIO) -> str:
    """Say that a file is a link that was copied as text; "" for any other file."""
    stream.seek(0)
    text = stream.read(2048)
    if not TEXT_PATH.fullmatch(text):
        return ""
    return (
        f"holds nothing but the path {text.decode().strip()[:80]!r}: a link that was copied as "
        "text; copy what it leads to"
    )


def _what_it_is(head: bytes, stream: BinaryIO) -> str:
    if head.startswith(b"version https://git-lfs"):
        return "is a git-LFS pointer; run `git lfs pull`"
    if said := link_as_text(stream):
        return said
    return f"expected an image, the file begins with {head[:16]!r}"
