"""Hostile, odd and ordinary image files; each is made here."""

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perception.core.errors import SampleError
from perception.core.limits import MAX_MEGAPIXELS
from perception.core.types import UInt8
from perception.io.images import (
    Reading,
    decode_image,
    is_as_shown,
    probe_image,
    read_image,
    swapped,
)
from perception.io.images import exif as exif_

HEIGHT, WIDTH = 6, 9


def picture(height: int = HEIGHT, width: int = WIDTH) -> UInt8:
    """RGB, each channel telling of another thing: column, row, constant."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width) * 20
    image[..., 1] = np.arange(height)[:, None] * 30
    image[..., 2] = 200
    return image


def encoded(extension: str, image_rgb: npt.NDArray[np.generic] | None = None) -> bytes:
    image_rgb = picture() if image_rgb is None else image_rgb
    done, data = cv2.imencode(extension, np.ascontiguousarray(image_rgb[..., ::-1]))
    assert done
    return data.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, rows: bytes, *, bits: int = 8, colour: int = 2, extra: bytes = b""
) -> bytes:
    """`rows` with the filter byte before each."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def jpeg_with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    return jpeg_with_segment(jpeg, 0xE1, b"Exif\0\0" + tiff)


def animated_webp_head() -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([0x02, 0, 0, 0, 8, 0, 0, 5, 0, 0])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_with_components(count: int) -> bytes:
    data = bytearray(encoded(".jpg"))
    data[data.index(b"\xff\xc0") + 9] = count
    return bytes(data)


def jpeg_with_precision(bits: int) -> bytes:
    data = bytearray(encoded(".jpg"))
    data[data.index(b"\xff\xc0") + 4] = bits
    return bytes(data)


def code_of(path: Path) -> str:
    """The code of the error, after a look that the file is as it was."""
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(SampleError) as caught:
        decode_image(path)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert str(path) in caught.value.message
    return caught.value.code


@pytest.mark.parametrize("extension", [".png", ".bmp"])
def test_a_lossless_file_gives_back_its_pixels_in_rgb(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    path.write_bytes(encoded(extension))
    image_rgb = decode_image(path)
    np.testing.assert_array_equal(image_rgb, picture())
    assert image_rgb.dtype == np.uint8 and image_rgb.flags.c_contiguous
    assert probe_image(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_a_lossy_file_gives_red_where_red_was_written(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 250
    path.write_bytes(encoded(extension, red))
    assert np.abs(decode_image(path).astype(int) - red).max() < 12
    assert probe_image(path) == (16, 24)


def test_lossless_and_transparent_webp_declare_their_size(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    for quality in (101, 50):  # 101: VP8L; 50 with alpha: VP8X
        image = np.random.default_rng(0).integers(0, 255, (13, 21, 4), dtype=np.uint8)
        path.write_bytes(
            cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
        )
        assert probe_image(path) == (13, 21)
        assert decode_image(path).shape == (13, 21, 3)


def test_a_progressive_jpeg_with_an_odd_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    fill = data[:2] + b"\xff\xff" + data[2:]
    path.write_bytes(jpeg_with_segment(fill, 0xFE, b"x" * 65_000) + b"trailing bytes")
    assert probe_image(path) == (40, 30)
    assert decode_image(path).shape == (40, 30, 3)


def test_what_a_file_is_stands_in_its_bytes_not_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(".png"))
    np.testing.assert_array_equal(decode_image(path), picture())


def test_row_01_a_zero_byte_image_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    assert code_of(path) == "image.empty"


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".webp"])
def test_row_02_a_file_cut_anywhere_is_never_decoded(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    data = encoded(extension)
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        expected = (
            {"image.truncated"} if length >= 16 else {"image.truncated", "image.not_an_image"}
        )
        assert code_of(path) in expected, length


def test_row_02_the_eoi_of_a_thumbnail_is_not_that_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = jpeg_with_segment(encoded(".jpg", noise), 0xE1, b"Exif\0\0" + encoded(".jpg"))
    path.write_bytes(whole)
    assert decode_image(path).shape == (64, 64, 3)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert code_of(path) == "image.truncated"


def test_row_02_a_flipped_byte_inside_a_png_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = bytearray(encoded(".png"))
    data[data.index(b"IDAT") + 10] ^= 0xFF
    path.write_bytes(data)
    assert code_of(path) == "image.unsupported"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"hello, this is a text\n", "hello"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "DOCTYPE"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"BMW is a maker of cars", "BMW"),
        (b"\x00", "begins with"),
    ],
)
def test_row_03_text_html_and_lfs_pointers_are_no_images(
    tmp_path: Path, content: bytes, word: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert code_of(path) == "image.not_an_image"
    with pytest.raises(SampleError, match=word):
        probe_image(path)


BOMB_CODE = """
import sys
from pathlib import Path
from perception.core.errors import SampleError
from perception.io.images import decode_image

def peak_kb():
    # not ru_maxrss, which a child inherits from its parent
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak_kb()
try:
    decode_image(Path(sys.argv[1]))
except SampleError as error:
    print(error.code, peak_kb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory by /proc")
def test_row_04_a_png_bomb_is_refused_without_allocating(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(50_000, 50_000, b""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.check_output(
        [sys.executable, "-c", BOMB_CODE, str(path)], text=True, env=environment
    )
    code, growth_kb = output.split()
    assert code == "image.too_large"
    assert int(growth_kb) < 50_000


@pytest.mark.parametrize("extension", [".jpg", ".bmp", ".webp"])
def test_row_04_every_format_is_capped_before_decoding(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    data = bytearray(encoded(extension))
    if extension == ".jpg":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", 65_000, 65_000)
    elif extension == ".bmp":
        data[18:26] = struct.pack("<ii", 50_000, -50_000)
    else:
        data[12:30] = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    path.write_bytes(data)
    assert code_of(path) == "image.too_large"
    height, width = probe_image(path)
    assert height * width > MAX_MEGAPIXELS * 1_000_000


def test_row_05_sixteen_bits_keep_the_high_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, b"\0\x12\xff\xff\x00", bits=16, colour=0))
    np.testing.assert_array_equal(decode_image(path), [[[0x12] * 3, [0xFF] * 3]])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(2, 1, b"\0\x05\xfa", colour=0), [[5, 5, 5], [250, 250, 250]]),
        (png(8, 1, b"\0\xaa", bits=1, colour=0)[:], [[255] * 3, [0] * 3] * 4),
        (png(2, 1, b"\0\1\2\3\0\4\5\6\x80", colour=6), [[1, 2, 3], [4, 5, 6]]),
        (png(2, 1, b"\0\7\0\x09\x80", colour=4), [[7, 7, 7], [9, 9, 9]]),
        (
            png(2, 1, b"\0\0\1", colour=3, extra=chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 254]))),
            [[255, 0, 0], [0, 0, 254]],
        ),
        (png(1, 1, b"\0\1\2\3"), [[1, 2, 3]]),
    ],
    ids=["grey", "one bit", "rgba, alpha dropped", "grey with alpha", "palette", "1x1"],
)
def test_row_05_odd_kinds_of_png_become_rgb(
    tmp_path: Path, content: bytes, expected: list[list[int]]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    np.testing.assert_array_equal(decode_image(path)[0], expected)


def test_row_05_a_grey_jpeg_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), np.full((8, 8), 90, np.uint8))
    np.testing.assert_array_equal(decode_image(path), np.full((8, 8, 3), 90))


def test_row_05_an_animated_png_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    frame = struct.pack(">IIIIHHBB", 1, 1, 0, 0, 1, 10, 0, 0)
    first = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", struct.pack(">I", 0) + frame)
    data = png(1, 1, b"\0\1\2\3", extra=first)
    second = chunk(b"fcTL", struct.pack(">I", 1) + frame) + chunk(
        b"fdAT", struct.pack(">I", 2) + zlib.compress(b"\0\x09\x09\x09")
    )
    path.write_bytes(data[:-12] + second + data[-12:])
    np.testing.assert_array_equal(decode_image(path), [[[1, 2, 3]]])


@pytest.mark.parametrize(
    "content",
    [
        jpeg_with_components(4),
        jpeg_with_precision(12),
        animated_webp_head(),
        b"GIF89a" + bytes(20),
        b"II*\0" + bytes(20),
        b"P6 1 1 255 abc",
        b"\0\0\0\x1cftypisom" + bytes(20),
        png(0, 5, b""),
        encoded(".bmp")[:30] + struct.pack("<I", 1) + encoded(".bmp")[34:],
    ],
    ids=[
        "CMYK JPEG",
        "12-bit JPEG",
        "animated WebP",
        "GIF",
        "TIFF",
        "PNM",
        "video",
        "no width",
        "RLE BMP",
    ],
)
def test_row_05_kinds_that_are_not_read_say_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert code_of(path) == "image.unsupported"


EXIF = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 0, 0) + bytes(4)


def exif(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def turned_jpeg(orientation: int) -> bytes:
    return with_exif_orientation(encoded(".jpg", picture(24, 40)), orientation)


def turned_png(orientation: int) -> bytes:
    data = encoded(".png", picture(24, 40))
    return data[:-12] + chunk(b"eXIf", exif(orientation)) + data[-12:]  # behind the pixels


def turned_webp(orientation: int) -> bytes:
    lossless = cv2.imencode(".webp", picture(24, 40)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])
    pixels, block = lossless[1].tobytes()[12:], exif(orientation)
    head = b"VP8X" + struct.pack("<I", 10) + bytes([8, 0, 0, 0, 39, 0, 0, 23, 0, 0])
    block = b"EXIF" + struct.pack("<I", len(block)) + block
    body = b"WEBP" + head + pixels + block + bytes(len(block) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(
    image: npt.NDArray[np.generic], orientation: int = 1, *, big_endian: bool = False
) -> bytes:
    """One strip, not compressed; the strip behind the directory."""
    order, (height, width), channels = ">" if big_endian else "<", image.shape[:2], image.shape[2]
    bits = image.dtype.itemsize * 8
    pixels = image.astype(image.dtype.newbyteorder(order)).tobytes()
    rows = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1),
        (262, 3, 1 if channels == 1 else 2),
        (273, 4, 8 + 2 + 11 * 12 + 4 + 2 * channels), (274, 3, orientation), (277, 3, channels),
        (278, 4, height), (279, 4, len(pixels)), (284, 3, 1),
    ]  # fmt: skip
    extra = struct.pack(f"{order}{channels}H", *[bits] * channels)
    entries = b""
    for tag, kind, value in rows:
        if tag == 258 and channels > 1:
            entries += struct.pack(f"{order}HHII", tag, kind, channels, 8 + 2 + 11 * 12 + 4)
        elif kind == 3:
            entries += struct.pack(f"{order}HHIHH", tag, kind, 1, value, 0)
        else:
            entries += struct.pack(f"{order}HHII", tag, kind, 1, value)
    head = (b"MM" if big_endian else b"II") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", 11) + entries + bytes(4) + extra + pixels


UPRIGHT: dict[int, Callable[[UInt8], npt.NDArray[np.uint8]]] = {  # Exif's own table, by hand
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    "make",
    [turned_jpeg, turned_png, turned_webp, lambda orientation: tiff(picture(24, 40), orientation)],
    ids=["JPEG", "PNG", "WebP", "TIFF"],
)
def test_row_06_orientation_is_applied_where_asked_and_else_stored_pixels_count(
    tmp_path: Path, make: Callable[[int], bytes], orientation: int
) -> None:
    path, plain = tmp_path / "turned", tmp_path / "plain"
    path.write_bytes(make(orientation))
    plain.write_bytes(make(1))
    stored = decode_image(plain)
    assert np.abs(stored.astype(int) - picture(24, 40)).mean() < 30  # JPEG loses some
    np.testing.assert_array_equal(decode_image(path), stored)
    assert probe_image(path) == (24, 40)
    upright = read_image(path, Reading(upright=True))
    np.testing.assert_array_equal(upright.image_rgb, UPRIGHT[orientation](stored))
    assert upright.changes == (() if orientation == 1 else ("turned upright",))
    assert read_image(path).changes == (() if orientation == 1 else ("Orientation not applied",))
    if make is turned_jpeg:  # OpenCV's own reading, as trainers use it
        shown = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert shown is not None
        np.testing.assert_array_equal(upright.image_rgb, shown[..., ::-1])
    assert is_as_shown(path) == (orientation == 1 and b"II*" not in path.read_bytes()[:4])


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(turned_jpeg(orientation))
    assert read_image(path, Reading(upright=True)).changes == ()


@pytest.mark.parametrize(
    "block", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"XX" + bytes(30), EXIF[:-9]]
)
def test_half_a_block_of_exif_turns_nothing(tmp_path: Path, block: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with_segment(encoded(".jpg"), 0xE1, b"Exif\0\0" + block))
    assert read_image(path, Reading(upright=True)).changes == ()


def test_turning_back_undoes_turning() -> None:
    image = picture(5, 8)
    for orientation in UPRIGHT:
        np.testing.assert_array_equal(
            exif_.stored(exif_.turned(image, orientation), orientation), image
        )


def sixteen(values: npt.NDArray[np.uint16]) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF, big-endian"])
def test_a_thermal_picture_in_16_bit_is_stretched(tmp_path: Path, kind: str) -> None:
    # 2800 to 4000 of a thermal camera, one dead pixel at either end: the high byte is 10 to 15.
    values = np.full((50, 80), 2800, np.uint16)
    values[10:20, 30:50], values[20:30, 30:50] = 4000, 3400
    values[0, 0], values[0, 1] = 65_535, 0
    path = tmp_path / "t.png"
    big = kind.endswith("endian")
    path.write_bytes(sixteen(values) if kind == "PNG" else tiff(values[..., None], big_endian=big))
    found = read_image(path)
    assert found.changes == ("stretched from 16 bit",)
    assert (found.image_rgb[15, 40] == 255).all() and (found.image_rgb[25, 40] == 128).all()
    assert (found.image_rgb[40, 70] == 0).all() and (found.image_rgb[0, 0] == 255).all()


def test_the_channels_of_a_dark_16_bit_picture_are_stretched_alike(tmp_path: Path) -> None:
    values = np.zeros((20, 20, 3), np.uint16)
    values[:10], values[10:] = (100, 200, 500), (1100, 600, 500)  # BGR
    path = tmp_path / "t.png"
    path.write_bytes(sixteen(values))
    found = read_image(path)
    np.testing.assert_array_equal(found.image_rgb[0, 0], [102, 26, 0])  # of 100 to 1100
    np.testing.assert_array_equal(found.image_rgb[15, 0], [102, 128, 255])
    assert found.changes == ("stretched from 16 bit",)


@pytest.mark.parametrize(
    ("top", "is_stretched"), [(16_383, True), (16_384, False), (65_535, False)]
)
def test_what_spans_a_quarter_of_16_bit_keeps_its_high_byte(
    tmp_path: Path, top: int, is_stretched: bool
) -> None:
    values = np.linspace(0, top, 4096).astype(np.uint16).reshape(64, 64)
    values[:1], values[-1:] = 0, top  # more than a thousandth at either end
    path = tmp_path / "t.png"
    path.write_bytes(sixteen(values))
    found = read_image(path)
    assert bool(found.changes) == is_stretched
    if not is_stretched:
        np.testing.assert_array_equal(found.image_rgb[..., 0], values >> 8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((4, 4), 3000, np.uint16), 11),  # nothing to see: the high byte
        (np.full((4, 4), 0, np.uint16), 0),
        (np.full((1, 1), 65_535, np.uint16), 255),
    ],
)
def test_a_flat_16_bit_picture_keeps_its_high_byte(
    tmp_path: Path, values: npt.NDArray[np.uint16], expected: int
) -> None:
    path = tmp_path / "t.png"
    path.write_bytes(sixteen(values))
    assert (decode_image(path) == expected).all() and read_image(path).changes == ()


def test_one_small_object_in_a_flat_16_bit_picture_is_seen(tmp_path: Path) -> None:
    values = np.full((100, 100), 3000, np.uint16)
    values[5, 5:9] = 3100  # fewer than a thousandth
    path = tmp_path / "t.png"
    path.write_bytes(sixteen(values))
    assert decode_image(path)[5, 5, 0] == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tiff_gives_back_its_pixels(
    tmp_path: Path, dtype: type, big_endian: bool, channels: int
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (7, 11, channels)).astype(dtype)
    image = image * 257 if dtype == np.uint16 else image
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(image, big_endian=big_endian))
    expected = image[..., :3] if channels > 1 else np.repeat(image, 3, axis=2)
    shift = 8 if dtype == np.uint16 else 0
    np.testing.assert_array_equal(decode_image(path), (expected >> shift).astype(np.uint8))
    assert probe_image(path) == (7, 11)


def test_a_tiff_cut_anywhere_is_never_decoded(tmp_path: Path) -> None:
    path, data = tmp_path / "a.tif", tiff(picture())
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        expected = {"image.truncated"} if length > 3 else {"image.truncated", "image.not_an_image"}
        assert code_of(path) in expected, length


def test_an_animated_gif_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    animation = cv2.Animation()
    animation.frames = [np.full((8, 9, 3), value, np.uint8) for value in (40, 200)]
    animation.durations = [100, 100]
    assert cv2.imwriteanimation(str(path), animation)
    found = read_image(path)
    assert found.image_rgb.shape == (8, 9, 3) and abs(found.image_rgb.mean() - 40) < 20
    assert found.changes == ("first frame of a GIF",)
    data = path.read_bytes()
    for length in range(1, len(data) // 2):  # within the first frame
        path.write_bytes(data[:length])
        assert code_of(path) in {"image.truncated", "image.not_an_image"}, length


def test_an_avif_is_read_and_turned_by_its_own_marks(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    red = np.zeros((24, 40, 3), np.uint8)
    red[:12, :20, 0] = 250
    data = encoded(".avif", red)
    path.write_bytes(data)
    stored = decode_image(path)
    assert probe_image(path) == (24, 40) and np.abs(stored.astype(int) - red).mean() < 4
    turn = with_property(data, b"irot", 3)  # three quarters to the left: one to the right
    path.write_bytes(turn)
    found = read_image(path, Reading(upright=True))
    np.testing.assert_array_equal(found.image_rgb, UPRIGHT[6](stored))
    np.testing.assert_array_equal(decode_image(path), stored)
    path.write_bytes(data[: len(data) // 2])
    assert code_of(path) == "image.truncated"


def with_property(data: bytes, kind: bytes, value: int) -> bytes:
    """Put an image property into an AVIF in place of its colour space, which is the last one."""
    place = data.index(b"colr") - 4
    length = int.from_bytes(data[place : place + 4], "big")
    filler = struct.pack(">I4s", length - 9, b"free") + bytes(length - 17)
    own = struct.pack(">I4sB", 9, kind, value) + filler
    whole = bytearray(data[:place] + own + data[place + length :])
    whole[whole.index(b"mdat") - 5] |= 0x80  # the last association is an essential one
    return bytes(whole)


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="needs the extra heic")
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_heic_is_read_upright_and_as_stored(tmp_path: Path, orientation: int) -> None:
    import pillow_heif

    image = np.zeros((64, 128, 3), np.uint8)
    image[:32, :64], image[32:, :64] = (250, 0, 0), (0, 0, 250)
    heif = pillow_heif.from_bytes("RGB", (128, 64), image.tobytes())
    path = tmp_path / "a.heic"
    heif.save(str(path), quality=95, exif=b"Exif\0\0" + exif(orientation))
    stored = decode_image(path)
    assert np.abs(stored.astype(int) - image).mean() < 12
    upright = read_image(path, Reading(upright=True)).image_rgb
    np.testing.assert_array_equal(upright, UPRIGHT[orientation](stored))


def test_adobes_cmyk_is_read_and_others_are_refused(tmp_path: Path) -> None:
    # OpenCV writes no CMYK: a grey JPEG's scan, four times, would be needed. Pillow does.
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.jpg"
    image.fromarray(picture(32, 48)).convert("CMYK").save(path, "JPEG", quality=98)
    assert np.abs(decode_image(path).astype(int) - picture(32, 48)).mean() < 6
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Adobe", b"adobe"))
    assert code_of(path) == "image.unsupported"


def test_the_limit_of_pixels_can_be_moved(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(10_000, 7_000, b""))
    with pytest.raises(SampleError, match="--max-megapixels 70 allows it"):
        decode_image(path)
    with pytest.raises(SampleError, match="cannot be decoded"):  # it has no pixels
        decode_image(path, Reading(max_megapixels=70))
    path.write_bytes(png(30_000, 30_000, b""))
    with pytest.raises(SampleError, match="at most 512 can be allowed"):
        decode_image(path, Reading(max_megapixels=512))


def test_sizes_that_are_a_quarter_turn_apart_name_the_orientation() -> None:
    assert "EXIF Orientation" in swapped((24, 40), (40, 24))
    assert swapped((24, 40), (24, 41)) == swapped((24, 24), (24, 24)) == ""


def test_a_link_that_was_copied_as_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "street.jpg"
    path.write_bytes(b"../store/street.jpg")
    assert code_of(path) == "image.not_an_image"
    with pytest.raises(SampleError, match="a link that was copied as text; copy what"):
        decode_image(path)


def test_row_07_a_missing_file_and_a_folder_are_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path, tmp_path / "none.png" / "a.png"):
        with pytest.raises(SampleError) as caught:
            decode_image(path)
        assert caught.value.code == "io.not_found"


def test_row_07_a_pipe_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    os.mkfifo(path)
    with pytest.raises(SampleError, match=r"io\.not_found"):
        probe_image(path)


def test_row_07_a_file_without_permission_is_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png"))

    def refuse(*_: object) -> Iterator[bytes]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read whatever the mode says
    with pytest.raises(SampleError) as caught:
        decode_image(path)
    assert caught.value.code == "io.denied"


def test_the_probe_reads_the_header_only(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png")[:40])
    assert probe_image(path) == (HEIGHT, WIDTH)


WHOLE = [encoded(extension) for extension in (".jpg", ".png", ".bmp", ".webp", ".gif", ".avif")]
WHOLE += [tiff(picture()), encoded(".tiff"), turned_png(6), turned_webp(6)]


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.sampled_from(WHOLE),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_flipped_bytes_end_in_an_image_or_a_sample_error(
    tmp_path: Path, data: bytes, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path / "a.img"
    mutated = bytearray(data)
    for position, mask in flips:
        mutated[position % len(data)] ^= mask
    path.write_bytes(mutated)
    try:
        image_rgb = decode_image(path)
    except SampleError as error:
        assert error.code.startswith("image.")
        return
    assert image_rgb.dtype == np.uint8 and image_rgb.ndim == 3
    assert image_rgb.shape[:2] == probe_image(path)
