"""Point clouds that are not what their name or size says."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from perception.core.errors import SampleError
from perception.evaluation.compare import evaluate
from perception.io.clouds import read_sweep
from perception.readers import sources
from perception.runs import folder

Table = npt.NDArray[np.float32]
COUNT = 7_848  # a multiple of 3, 4 and 6


def street(count: int = COUNT, seed: int = 0) -> Table:
    """A turn of a LiDAR 1.7 m over a street, a car 10 m ahead, in scan order; metres."""
    rng = np.random.default_rng(seed)
    rings = 24
    elevation = np.radians(np.repeat(np.linspace(-22, 3, rings), -(-count // rings)))[:count]
    azimuth = np.tile(np.linspace(0, 2 * np.pi, -(-count // rings), endpoint=False), rings)[:count]
    wall_m = 12 / np.maximum(np.abs(np.sin(azimuth)), 0.2)
    with np.errstate(divide="ignore"):
        ground_m = np.where(elevation < 0, 1.7 / np.sin(-np.minimum(elevation, -1e-9)), np.inf)
    ahead, aside = np.cos(elevation) * np.cos(azimuth), np.tan(azimuth)
    on_car = (ahead > 0) & (np.abs(aside) < 0.09) & (elevation < 0)
    car_m = np.where(on_car, 10 / np.maximum(ahead, 1e-9), np.inf)
    range_m = np.minimum(np.minimum(wall_m, ground_m), car_m) * rng.normal(1, 0.005, count)
    flat_m = range_m * np.cos(elevation)
    places = [flat_m * np.cos(azimuth), flat_m * np.sin(azimuth), range_m * np.sin(elevation)]
    return np.stack(places, axis=1).astype(np.float32)


def more(points: Table, kinds: str) -> Table:
    """The points with further columns: i intensity, b the same in bytes, r ring, t time, 0, n."""
    count, rng = len(points), np.random.default_rng(1)
    intensity = rng.integers(0, 100, count) / 100
    columns = {
        "i": intensity,
        "b": np.floor(intensity * 255),
        "r": np.arange(count) * 24 // count,
        "t": np.linspace(0, 0.1, count),
        "0": np.zeros(count),
        "n": rng.uniform(-1, 1, count),
    }
    return np.column_stack([points, *(columns[kind] for kind in kinds)]).astype(np.float32)


def shuffled(table: Table) -> Table:
    return table[np.random.default_rng(2).permutation(len(table))]


@pytest.mark.parametrize("order", [np.array, shuffled], ids=["scan", "shuffled"])
@pytest.mark.parametrize("stated", [3, 4, 5, 6])
@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param("", id="xyz"),
        pytest.param("i", id="traveller59/second.pytorch#328"),
        pytest.param("0", id="zeros"),
        pytest.param("ir", id="kuixu/kitti_object_vis#5"),
        pytest.param("br", id="nuScenes"),
        pytest.param("it", id="open-mmlab/mmdetection3d#1513"),
        pytest.param("irt", id="SUSTechPOINTS#105"),
        pytest.param("brt", id="bytes, ring and time"),
        pytest.param("nnn", id="normals"),
        pytest.param("000", id="six with zeros"),
    ],
)
def test_columns_are_right_or_refused(
    tmp_path: Path, kinds: str, stated: int, order: Callable[[Table], Table]
) -> None:
    path, points = tmp_path / "a.bin", order(more(street(), kinds))
    path.write_bytes(points.tobytes())
    columns = points.shape[1]
    if stated == columns:
        sweep = read_sweep(path, stated)
        np.testing.assert_array_equal(sweep.points_lidar, points[:, :3])
        assert sweep.remarks == ()
        return
    with pytest.raises(SampleError, match=f"--columns {columns}") as caught:
        read_sweep(path, stated)
    assert caught.value.code == "cloud.malformed"
    assert (
        str(stated) in caught.value.message and str(len(points.tobytes())) in caught.value.message
    )


@pytest.mark.parametrize("kinds", ["", "i", "b", "ir", "br", "irt"])
def test_rows_of_beams_that_take_turns_are_rows(tmp_path: Path, kinds: str) -> None:
    # A VLP-16 fires a beam at the street and one at the sky by turns: rows alternate.
    points = more(street(), kinds)
    lower, upper = np.split(points[np.argsort(points[:, 2], kind="stable")], 2)
    points = np.stack([lower, upper], axis=1).reshape(points.shape)
    path = tmp_path / "a.bin"
    path.write_bytes(points.tobytes())
    sweep = read_sweep(path, points.shape[1])
    np.testing.assert_array_equal(sweep.points_lidar, points[:, :3])


def test_a_size_that_does_not_fit_says_which_columns_would(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(more(street(7_845), "ir").tobytes())  # OpenPCDet-like: 4n + 1 points
    with pytest.raises(SampleError, match=r"expected N x 4.*5 columns.*--columns 5"):
        read_sweep(path, 4)
    path.write_bytes(more(street(), "i").tobytes()[:-7])
    with pytest.raises(SampleError, match=r"those of 4 columns, so its end is missing"):
        read_sweep(path, 4)


def test_few_points_are_read_as_stated_and_the_doubt_is_told(tmp_path: Path) -> None:
    path, points = tmp_path / "a.bin", more(street(60), "i")
    path.write_bytes(points.tobytes())
    sweep = read_sweep(path, 4)
    np.testing.assert_array_equal(sweep.points_lidar, points[:, :3])
    assert len(sweep.remarks) == 1 and "--columns" in sweep.remarks[0]


def pcd(
    points: Table,
    data: str,
    fields: str = "x y z intensity",
    pack: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """A PCD of float32, one value a field."""
    count, width = points.shape
    header = (
        f"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS {fields}\n"
        f"SIZE {'4 ' * width}\nTYPE {'F ' * width}\nCOUNT {'1 ' * width}\nWIDTH {count}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA {data}\n"
    ).encode()
    if data == "ascii":
        rows = (" ".join(repr(float(value)) for value in row) for row in points)
        return header + "\n".join(rows).encode() + b"\n"
    if data == "binary":
        return header + points.tobytes()
    raw = points.T.tobytes()
    packed = pack(raw)
    return header + struct.pack("<II", len(packed), len(raw)) + packed


def literal_lzf(raw: bytes) -> bytes:
    parts = (raw[at : at + 32] for at in range(0, len(raw), 32))
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def npy(points: npt.NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points)
    return stream.getvalue()


def ply(points: Table, form: str) -> bytes:
    kinds = "".join(f"property float {name}\n" for name in ("x", "y", "z", "intensity"))
    head = f"ply\nformat {form} 1.0\ncomment own\nelement vertex {len(points)}\n{kinds}"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    order = ">f4" if "big" in form else "<f4"
    if form == "ascii":
        rows = (" ".join(repr(float(value)) for value in row) for row in points)
        return (head + "\n".join(rows) + "\n3 0 1 2\n").encode()
    return head.encode() + points.astype(order).tobytes() + b"\3" + bytes(12)


def text(points: Table, between: str = " ", head: str = "") -> bytes:
    rows = (between.join(repr(float(value)) for value in row) for row in points)
    return (head + "\n".join(rows) + "\n").encode()


POINTS = more(street(240), "i")
WHOLE = {
    "npy": npy(POINTS),
    "npy float64": npy(POINTS.astype(np.float64)),
    "npy Fortran": npy(np.asfortranarray(POINTS)),
    "npy big-endian": npy(POINTS.astype(">f4")),
    "pcd ascii": pcd(POINTS, "ascii"),
    "pcd binary": pcd(POINTS, "binary"),
    "pcd compressed": pcd(POINTS, "binary_compressed", pack=literal_lzf),
    "pcd fields in another order": pcd(POINTS[:, [3, 2, 0, 1]], "binary", "intensity z x y"),
    "ply ascii": ply(POINTS, "ascii"),
    "ply little": ply(POINTS, "binary_little_endian"),
    "ply big": ply(POINTS, "binary_big_endian"),
    "text": text(POINTS),
    "csv with names": text(POINTS[:, [3, 0, 1, 2]], ",", "intensity,X,Y,Z\n"),
    "CloudCompare": text(POINTS, " ", "//X Y Z Intensity\n240\n").replace(b"240\n", b"", 1),
}


@pytest.mark.parametrize("name", ["000076.bin", "as it is"])
@pytest.mark.parametrize("kind", WHOLE)
def test_other_formats_are_told_by_their_first_bytes(tmp_path: Path, kind: str, name: str) -> None:
    suffix = {"csv": ".csv", "text": ".txt", "CloudCompare": ".txt"}.get(
        kind.split()[0], f".{kind[:3]}"
    )
    path = tmp_path / (f"a{suffix}" if name == "as it is" else name)
    path.write_bytes(WHOLE[kind])
    np.testing.assert_array_equal(read_sweep(path, 4).points_lidar, POINTS[:, :3])


@pytest.mark.parametrize(
    ("data", "word"),
    [
        pytest.param(
            npy(POINTS.astype([(n, "f4") for n in "xyzi"])[:, 0]), "array of", id="fields"
        ),
        pytest.param(npy(POINTS.T), "turn it", id="turned"),
        pytest.param(npy(POINTS[None]), "shape", id="three axes"),
        pytest.param(npy(np.array([{}], object)), "array of", id="pickle"),
        pytest.param(npy(POINTS)[:-1], "file whole", id="npy cut"),
        pytest.param(
            npy(POINTS).replace(b"(240, 4)", b"(24000000000000, 4)"),
            "file whole",
            id="npy too large",
        ),
        pytest.param(pcd(POINTS, "binary")[:-1], "file whole", id="pcd cut"),
        pytest.param(pcd(POINTS, "ascii")[:-30], "values", id="pcd ascii cut"),
        pytest.param(pcd(POINTS, "binary", "a y z i"), "x, y and z", id="no x"),
        pytest.param(
            pcd(POINTS, "binary").replace(b"POINTS 240", b"POINTS 999999999"), "POINTS", id="points"
        ),
        pytest.param(
            pcd(POINTS, "binary").replace(b"240", b"2000000000"), "at most", id="pcd too large"
        ),
        pytest.param(pcd(POINTS, "binary").replace(b"SIZE 4", b"SIZE 3"), "SIZE 3", id="size"),
        pytest.param(pcd(POINTS, "binary").replace(b"DATA", b"DATUM"), "DATA", id="no DATA"),
        pytest.param(
            pcd(POINTS, "binary_compressed", pack=lambda raw: b"\xff\xff\xff" * 9), "LZF", id="lzf"
        ),
        pytest.param(ply(POINTS, "binary_little_endian")[:-999], "file whole", id="ply cut"),
        pytest.param(ply(POINTS, "ascii").replace(b"float x", b"list u f x"), "lists", id="list"),
        pytest.param(text(POINTS) + b"1 2\n", "line 241", id="text with a short line"),
        pytest.param(text(POINTS) + b"1_0 2 3\n", "line 241", id="text with underscores"),
        pytest.param(b"PK\x03\x04" + bytes(400), ".npz", id="npz"),
        pytest.param(b"\x1f\x8b\x08\0" + bytes(400), "gzip", id="gzip"),
        pytest.param(b"LASF" + bytes(400), "LAS", id="las"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull", id="LFS"),
        pytest.param(b"<!DOCTYPE html>\n<html>not found</html>", "web page", id="web page"),
        pytest.param(bytes(16 * 100), "(0, 0, 0)", id="a file of zeros"),
    ],
)
def test_what_is_no_sweep_is_refused_by_name(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "000076.bin"
    path.write_bytes(data)
    with pytest.raises(SampleError) as caught:
        read_sweep(path, 4)
    assert caught.value.code == "cloud.malformed"
    assert word in caught.value.message and str(path) in caught.value.message


def test_padding_fields_of_a_pcd_are_skipped(tmp_path: Path) -> None:
    # SUSTechPOINTS: fields `_`, one of COUNT 0, and several values in one field.
    row = np.dtype([("p", "u1", 3), ("xyz", "<f8", 3), ("f", "<f4", 5), ("r", "<u2")])
    table = np.zeros(240, row)
    table["xyz"], table["p"] = POINTS[:, :3], 255
    header = (
        "VERSION .7\nFIELDS _ _ x y z fpfh ring\nSIZE 1 1 8 8 8 4 2\nTYPE U U F F F F U\n"
        "COUNT 3 0 1 1 1 5 1\nWIDTH 24\nHEIGHT 10\nPOINTS 240\nDATA binary\n"
    )
    path = tmp_path / "a.pcd"
    path.write_bytes(header.encode() + table.tobytes())
    np.testing.assert_array_equal(read_sweep(path, 4).points_lidar, POINTS[:, :3])


def test_a_repeated_pattern_is_unpacked(tmp_path: Path) -> None:
    # One literal of 4 bytes, then copies of what lies 4 bytes before, running into themselves.
    value = struct.pack("<f", 5.0)
    size_bytes = 240 * 4 * 4
    copies, left = b"", size_bytes - 4
    while left:
        length = min(left, 264)
        left -= length
        if length < 9:
            copies += bytes([(length - 2) << 5, 3])
        else:
            copies += bytes([7 << 5, length - 9, 3])
    path = tmp_path / "a.pcd"
    path.write_bytes(pcd(POINTS, "binary_compressed", pack=lambda raw: b"\3" + value + copies))
    np.testing.assert_array_equal(read_sweep(path, 4).points_lidar, np.full((240, 3), 5, "f4"))


def test_returns_that_never_came_keep_their_row_and_are_no_points(tmp_path: Path) -> None:
    points = more(street(), "i")
    points[::3, :3] = 0  # RELLIS-3D and Livox: 28 to 41 % of a sweep
    path = tmp_path / "a.bin"
    path.write_bytes(points.tobytes())
    sweep = read_sweep(path, 4)
    assert np.isnan(sweep.points_lidar[::3]).all() and len(sweep.points_lidar) == len(points)
    np.testing.assert_array_equal(sweep.points_lidar[1::3], points[1::3, :3])
    assert sweep.remarks == ()


@pytest.mark.parametrize(
    ("factor", "word"),
    [(1000, "millimetres"), (100, "millimetres"), (0.001, "kilometres"), (0.01, "kilometres")],
)
def test_units_that_cannot_be_are_refused(tmp_path: Path, factor: float, word: str) -> None:
    points = more(street(), "i")
    points[:, :3] *= factor
    path = tmp_path / "a.bin"
    path.write_bytes(points.tobytes())
    with pytest.raises(SampleError, match=word):
        read_sweep(path, 4)


def test_axes_that_cannot_be_are_refused_or_told(tmp_path: Path) -> None:
    points = more(street(), "i")
    points[:, 0] *= 3  # the street reaches 100 m and more ahead
    points[:, 2] *= 0.5
    path = tmp_path / "a.bin"
    path.write_bytes(points[:, [1, 2, 0, 3]].tobytes())  # a camera's: right, down, ahead
    assert any("z up" in remark for remark in read_sweep(path, 4).remarks)
    points[:, 2] += 200
    path.write_bytes(points.tobytes())
    with pytest.raises(SampleError, match="z reaches"):
        read_sweep(path, 4)


CALIB = (
    "P2: 80 0 80 0 0 80 60 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\n"
    "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
)


@pytest.fixture
def frame(tmp_path: Path, draw_street: Callable[[Path], Path]) -> Path:
    """A KITTI frame without its sweep; the LiDAR stands where the camera does."""
    base = tmp_path / "kitti" / "training"
    draw_street(base / "image_2" / "000076.png")
    (base / "calib").mkdir()
    (base / "calib" / "000076.txt").write_text(CALIB)
    (base / "label_2").mkdir()
    (base / "label_2" / "000076.txt").write_text("Car 0 0 0 73 60 87 73 1.5 3 4 0 1.7 12 0\n")
    (base / "velodyne").mkdir()
    return base


def points_of(answer: Any) -> dict[str, int]:
    return dict(answer.counts["points"])


def test_five_columns_are_refused_as_four_and_read_as_five(
    frame: Path, label_here: Callable[..., Any], tmp_path: Path
) -> None:
    # kuixu/kitti_object_vis#35: read as four, 7,848 points became 9,810.
    sweep, source = frame / "velodyne" / "000076.bin", f"kitti:{frame.parent}"
    sweep.write_bytes(more(street(), "i").tobytes())
    right = points_of(label_here(source, boxes="label_2", out=tmp_path / "four"))
    sweep.write_bytes(more(street(), "ir").tobytes())
    refused = label_here(source, boxes="label_2", out=tmp_path / "refused")
    assert refused.counts["quarantined_by"] == {"cloud.malformed": 1}
    assert any("--columns 5" in notice for notice in refused.notices)
    settled = label_here(
        source, boxes="label_2", overrides={"observe": {"columns": 5}}, out=tmp_path / "five"
    )
    assert points_of(settled) == right and right["labelled"] > 50


def test_truth_of_a_run_reads_the_sweeps_as_the_run_does(
    frame: Path, label_here: Callable[..., Any], tmp_path: Path
) -> None:
    (frame / "velodyne" / "000076.bin").write_bytes(more(street(), "ir").tobytes())
    source = f"kitti:{frame.parent}"
    run = label_here(source, boxes="label_2", overrides={"observe": {"columns": 5}}).run
    figures = evaluate(run, "kitti").to_dict()["tables"]
    assert figures == evaluate(run, source).to_dict()["tables"] and "points" in str(figures)
    (ref,) = folder.read_plan(run, folder.read_spec(run)).samples
    assert ref.columns == 5


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        pytest.param("pcd", lambda p: pcd(p, "binary"), id="open-mmlab/OpenPCDet#93"),
        pytest.param("npy", npy, id="open-mmlab/OpenPCDet#176"),
        pytest.param("ply", lambda p: ply(p, "binary_little_endian"), id="ply"),
        pytest.param("txt", text, id="raw drives that are not synchronised"),
    ],
)
def test_sweeps_of_other_formats_are_found_beside_the_pictures(
    frame: Path, suffix: str, write: Callable[[Table], bytes]
) -> None:
    points = more(street(), "i")
    (frame / "velodyne" / f"000076.{suffix}").write_bytes(write(points))
    (ref,) = sources.find(sources.parse_source(f"kitti:{frame.parent}"))
    np.testing.assert_array_equal(sources.load_scene(ref).points_lidar, points[:, :3])


def test_no_returns_are_neither_labelled_nor_seen(
    frame: Path, label_here: Callable[..., Any], tmp_path: Path
) -> None:
    points = more(street(), "i")
    calib = frame / "calib" / "000076.txt"
    # The camera 2 m behind the LiDAR looks at the LiDAR's own place.
    calib.write_text(CALIB.replace("1 0 0 0\n", "1 0 0 2\n"))
    sweep = frame / "velodyne" / "000076.bin"
    sweep.write_bytes(points.tobytes())
    source = f"kitti:{frame.parent}"
    before = points_of(label_here(source, boxes="label_2", out=tmp_path / "a"))
    empty = np.zeros((COUNT, 4), np.float32)
    sweep.write_bytes(np.concatenate([points, empty]).tobytes())
    after = points_of(label_here(source, boxes="label_2", out=tmp_path / "b"))
    assert after.pop("unknown") == before.pop("unknown") + COUNT
    assert after == before
