"""Hostile, odd and ordinary image files; each is made here."""

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perception.errors import SampleError
from perception.images import MAX_PIXELS, decode_image, probe_image
from perception.types import UInt8

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
from perception.errors import SampleError
from perception.images import decode_image

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
    assert height * width > MAX_PIXELS


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
        bytes(4) + b"ftypheic" + bytes(20),
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
        "HEIC",
        "no width",
        "RLE BMP",
    ],
)
def test_row_05_kinds_that_are_not_read_say_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert code_of(path) == "image.unsupported"


def test_row_06_exif_orientation_is_ignored_raw_pixels_count(tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    data = encoded(".jpg", picture(24, 40))
    plain.write_bytes(data)
    turned.write_bytes(with_exif_orientation(data, 6))
    upright = cv2.imread(str(turned), cv2.IMREAD_COLOR)
    assert upright is not None and upright.shape == (40, 24, 3)  # the tag is well-formed
    assert probe_image(turned) == (24, 40)
    np.testing.assert_array_equal(decode_image(turned), decode_image(plain))


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


WHOLE = [encoded(extension) for extension in (".jpg", ".png", ".bmp", ".webp")]


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
