"""The Ray engine gives the bytes of the local one, whatever the number of workers."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.core.errors import RequestError
from perception.io import buckets
from perception_ray.engine import _patiently, refuse_old, refuse_open_door

pytestmark = pytest.mark.ray

pytest.importorskip("ray")

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def draw_images(folder: Path, count: int) -> None:
    """Write dark images with bright rectangles that differ from image to image."""
    folder.mkdir()
    for i in range(count):
        image = np.full((60, 120, 3), 20, np.uint8)
        cv2.rectangle(image, (5 + i, 10), (30 + i, 40), (250, 250, 250), -1)
        cv2.imwrite(str(folder / f"{i:03d}.png"), image)


def command(source: str, out: Path | str, *options: str) -> list[str]:
    beside = out if isinstance(out, Path) else Path(source.removeprefix("images:"))
    config = beside.parent / "settings.yaml"
    config.write_text("shard_size: 2\n")
    return [
        *(sys.executable, "-m", "perception.cli", "label", source),
        *("--out", str(out), "--config", str(config), "--threads", "1"),
        *options,
    ]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "integrations")])
    return {**os.environ, "PYTHONPATH": path}


def label(source: str, out: Path | str, *options: str) -> None:
    done = subprocess.run(
        command(source, out, *options),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but the one that holds times."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in {"timings.json", "log.txt"}
    }


FAKES = ("--detector", "bright", "--segmenter", "grabcut")


NODES = """
import sys
from ray.cluster_utils import Cluster

head = {"num_cpus": 3, "include_dashboard": False, "temp_dir": sys.argv[1]}
cluster = Cluster(initialize_head=True, head_node_args=head)
node = cluster.add_node(num_cpus=2)
print(cluster.address, flush=True)
for word in sys.stdin:
    cluster.remove_node(node, allow_graceful=False)
    node = cluster.add_node(num_cpus=2)
cluster.shutdown()
"""


@dataclass
class Cluster:
    """Two nodes on this machine, 3 CPUs and 2, one of which stays free."""

    process: "subprocess.Popen[str]"
    address: str

    def replace_second_node(self) -> None:
        """Kill the second node, with all that works there, and start another."""
        assert self.process.stdin is not None
        self.process.stdin.write("replace\n")
        self.process.stdin.flush()


@contextmanager
def two_new_nodes() -> Iterator[Cluster]:
    with (
        tempfile.TemporaryDirectory(prefix="nodes-", ignore_cleanup_errors=True) as place,
        pytest.MonkeyPatch.context() as environ,
    ):
        token = Path(place) / "token"
        token.write_text(secrets.token_hex(32))
        (Path(place) / "ray").mkdir()  # its address is written there, whoever made the folder
        for name, value in {
            "RAY_AUTH_MODE": "token",  # Ray reads it when it is imported: a process of its own
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": place,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }.items():
            environ.setenv(name, value)
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", NODES, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        yield Cluster(process, process.stdout.readline().strip())
        process.stdin.close()
        process.wait(timeout=120)
        process.stdout.close()


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    with two_new_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """A source of 40 pictures, and what the local engine makes of it."""
    folder = tmp_path_factory.mktemp("clean")
    draw_images(folder / "images", 40)
    source = f"images:{folder / 'images'}"
    label(source, folder / "local", *FAKES)
    return source, contents(folder / "local")


def test_one_two_and_four_ray_workers_give_the_bytes_of_the_local_engine(
    tmp_path: Path, clean: tuple[str, dict[str, bytes]], two_nodes: Cluster
) -> None:
    source, expected = clean
    label(source, tmp_path / "local-2", *FAKES, "--workers", "2")
    assert contents(tmp_path / "local-2") == expected
    there = ("--address", two_nodes.address)
    for workers, place in ((1, there), (2, ()), (4, there)):  # 2: in a cluster of its own
        out = tmp_path / f"ray-{workers}"
        label(source, out, *FAKES, "--engine", "ray", "--workers", str(workers), *place)
        assert contents(out) == expected


def test_real_models_give_the_same_bytes_through_ray(tmp_path: Path) -> None:
    weights = SHARED / "weights"
    if not (weights / "mobile_sam.pt").is_file():
        pytest.skip("needs ../shared/data/weights")
    models = (
        *("--detector", str(weights / "yolov8n_int8.onnx")),
        *("--segmenter", str(weights / "mobile_sam.pt")),
        *("--limit", "4", "--mode", "fast"),
    )
    source = f"kitti:{SHARED / 'kitti_object'}"
    label(source, tmp_path / "local", *models)
    label(source, tmp_path / "ray", *models, "--engine", "ray", "--workers", "2")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def has_a_shard(out: Path | str) -> bool:
    if isinstance(out, Path):
        return bool(list(out.glob("labels/*/*.json")))
    return any(fnmatch(name, "labels/*.json") for name in buckets.parse(out).sizes())


def begun(source: str, out: Path | str, *options: str) -> "subprocess.Popen[bytes]":
    """Start a run and return once it has a whole shard, but long before it has all."""
    driver = subprocess.Popen(
        command(source, out, *FAKES, "--engine", "ray", *options),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not has_a_shard(out):
        assert time.monotonic() < deadline, "no shard was finished"
        assert driver.poll() is None, "the driver ended before anything could be killed"
        time.sleep(0.02)
    return driver


def test_row_33_a_driver_killed_half_way_leaves_a_run_that_ends_the_same(
    tmp_path: Path, clean: tuple[str, dict[str, bytes]], two_nodes: Cluster
) -> None:
    source, expected = clean
    options = ("--workers", "2", "--address", two_nodes.address)
    driver = begun(source, tmp_path / "killed", *options)
    driver.kill()
    driver.wait()
    assert len(contents(tmp_path / "killed")) < len(expected)
    label(source, tmp_path / "killed", *FAKES, "--engine", "ray", *options)
    assert contents(tmp_path / "killed") == expected


def processes_of(parent: int, name: str) -> list[int]:
    """Return the processes below a process whose command line begins with, or ends in, a name."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, below = list[int](), [parent]
    while below:
        for pid in children.get(below.pop(), []):
            below.append(pid)
            command_line = Path(f"/proc/{pid}/cmdline")
            words = command_line.read_bytes().split(b"\0") if command_line.exists() else [b""]
            if words[0].decode().startswith(name) or words[0].decode().endswith(f"/{name}"):
                found.append(pid)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("victim", "survives"),
    [("ray::MapWorker", True), ("raylet", False), ("gcs_server", False)],
    ids=["actor", "raylet", "gcs"],
)
def test_row_33_a_part_of_the_cluster_is_killed_and_the_run_ends_the_same(
    tmp_path: Path, clean: tuple[str, dict[str, bytes]], victim: str, survives: bool
) -> None:
    source, expected = clean
    out = tmp_path / "killed"
    driver = begun(source, out, "--workers", "1")
    (pid,) = processes_of(driver.pid, victim)
    below = processes_of(driver.pid, "")
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    code = driver.wait(timeout=300)
    assert code == (0 if survives else 2)
    assert survives or time.monotonic() - killed < 50  # Ray's own patience is a minute
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{one}").exists() for one in below):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.2)
    if not survives:
        label(source, out, *FAKES)  # the other engine resumes
    assert contents(out) == expected
    assert not list(out.rglob(".tmp-*")) and not (out / "lock.json").exists()


def test_row_33_a_node_is_lost_and_the_others_finish_the_run(
    tmp_path: Path, clean: tuple[str, dict[str, bytes]], two_nodes: Cluster
) -> None:
    source, expected = clean
    driver = begun(source, tmp_path / "lost", "--workers", "4", "--address", two_nodes.address)
    two_nodes.replace_second_node()
    assert driver.wait(timeout=300) == 0
    assert contents(tmp_path / "lost") == expected


def contents_there(address: str) -> dict[str, bytes]:
    """Every object of a run but the one that holds times."""
    bucket = buckets.parse(address)
    return {
        name: bucket.read(name) or b""
        for name in bucket.sizes()
        if name not in {"timings.json", "log.txt"}
    }


def test_row_33_a_run_in_a_bucket_ends_the_same_whoever_is_killed(
    clean: tuple[str, dict[str, bytes]],
    put: Callable[..., str],
) -> None:
    (source, expected), out = clean, f"{put()}/runs/a"
    with two_new_nodes() as cluster:
        options = ("--workers", "4", "--address", cluster.address)
        driver = begun(source, out, *options)
        driver.kill()
        driver.wait()
        assert contents_there(out).keys() < expected.keys() | {"lock.json"}
        driver = begun(source, out, *options)  # the lock of a process that is gone is broken
        cluster.replace_second_node()
        assert driver.wait(timeout=300) == 0
    assert contents_there(out) == expected


def test_actors_of_a_cluster_of_our_own_leave_no_copy_of_a_run_in_a_bucket(
    clean: tuple[str, dict[str, bytes]],
    put: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (source, expected), out = clean, f"{put()}/runs/a"
    with tempfile.TemporaryDirectory(prefix="b-") as scratch:  # short: Ray keeps sockets there
        monkeypatch.setenv("TMPDIR", scratch)
        label(source, out, *FAKES, "--engine", "ray", "--workers", "2")
        assert [path.name for path in Path(scratch).iterdir()] == []
    assert contents_there(out) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
def test_row_40_a_dashboard_that_others_reach_needs_a_token(host: str) -> None:
    for mode in ("", "disabled"):
        with pytest.raises(RequestError, match=host) as caught:
            refuse_open_door(host, mode)
        assert caught.value.code == "security.dashboard"
    refuse_open_door(host, "token")
    for closed in ("", "127.0.0.1", "localhost"):
        refuse_open_door(closed, "")


def test_row_40_an_open_dashboard_is_refused_by_the_command(tmp_path: Path) -> None:
    draw_images(tmp_path / "images", 1)
    options = (*FAKES, "--engine", "ray", "--dashboard", "0.0.0.0")
    done = subprocess.run(
        command(f"images:{tmp_path / 'images'}", tmp_path / "out", *options),
        env={key: value for key, value in environment().items() if key != "RAY_AUTH_MODE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "security.dashboard" in done.stderr


@pytest.mark.parametrize("version", ["2.51.0", "2.53.9", "1.13.0"])
def test_row_40_a_ray_with_known_holes_is_refused(version: str) -> None:
    with pytest.raises(RequestError, match=version) as caught:
        refuse_old(version)
    assert caught.value.code == "security.version"
    refuse_old("2.54.0")


def test_a_cluster_that_lost_a_process_is_given_up_at_once() -> None:
    released = threading.Event()

    def rows() -> Iterator[dict[str, int]]:
        released.wait(60)
        yield {"shard": 0}

    with pytest.raises(RequestError, match="gcs_server of the cluster ended") as caught:
        next(_patiently(rows(), 600, lambda: ["gcs_server"]))
    released.set()
    assert caught.value.code == "ray.lost"


def test_a_cluster_that_gives_nothing_is_given_up() -> None:
    released = threading.Event()

    def rows() -> Iterator[dict[str, int]]:
        yield {"shard": 0}
        released.wait(60)

    arriving = _patiently(rows(), 0.2)
    assert next(arriving) == {"shard": 0}
    with pytest.raises(RequestError, match="the same command resumes") as caught:
        next(arriving)
    released.set()
    assert caught.value.code == "run.stalled" and "released.wait" in caught.value.message


def test_a_worker_that_cannot_start_is_an_error_and_not_a_hang(
    tmp_path: Path, two_nodes: Cluster
) -> None:
    draw_images(tmp_path / "images", 2)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07" + bytes(100))
    done = subprocess.run(
        command(
            f"images:{tmp_path / 'images'}",
            tmp_path / "out",
            *("--detector", str(broken), "--segmenter", "boxes"),
            *("--engine", "ray", "--address", two_nodes.address),
        ),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "weights.invalid" in done.stderr
