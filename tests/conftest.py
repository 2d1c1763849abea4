"""Small datasets that tests draw, the command line in its own process, and what a folder holds."""

import functools
import gc
import http.client
import http.server
import importlib
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import settings

from perception.io import buckets

# A busy disk or core is no fault of the code: speed lives in `perception bench`.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Kept bytecode halves the collection, and saves each of the hundreds of processes that tests start
# a third of its imports: where the person's shell turns it off, the tests turn it on.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Workers of pytest share the cores: threads of torch must not keep one busy while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent
FOCAL_PX, SIZE_HW = 50, (48, 64)  # of the pictures and of the camera of `kitti`
CALIBRATION = (
    f"P2: {FOCAL_PX} 0 32 0 0 {FOCAL_PX} 24 0 0 0 1 0\n"
    "R0_rect: 1 0 0 0 1 0 0 0 1\n"
    "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"  # x forward, y left, z up; at the camera
)
# On the car of `kitti`, 2 m tall, beside it, behind the camera, nowhere.
POINTS_LIDAR = [[5, 0, 0], [10, 5.5, 0], [-10, 0, 0], [np.nan, 0, 0]]


def _draw(path: Path, *boxes: tuple[int, ...], size_hw: tuple[int, int] = SIZE_HW) -> Path:
    """Draw bright boxes (x0, y0, x1, y1, brightness 200..255) on a dark picture."""
    image = np.full((*size_hw, 3), 20, np.uint8)
    for x0, y0, x1, y1, brightness in boxes:
        image[y0:y1, x0:x1] = brightness
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def _pictures(root: Path, count: int) -> Path:
    """Draw pictures with 0, 1 and 2 objects in turn; every second object is a little darker."""
    for i in range(count):
        boxes = ((4 + i % 7, 8, 20, 30, 255), (30, 10, 44 + i % 9, 40, 215))
        _draw(root / f"{i:03d}.png", *boxes[: i % 3])
    return root


def _kitti(root: Path, frames: int) -> Path:
    """Draw KITTI frames, a car in the middle of each, with sweep, calibration and label."""
    base = root / "training"
    for i in range(frames):
        _draw(base / "image_2" / f"{i:06d}.png", (20, 14, 44, 34, 255))
        points = np.column_stack([POINTS_LIDAR, np.zeros(len(POINTS_LIDAR))]).astype("<f4")
        for folder, name, data in (
            ("velodyne", f"{i:06d}.bin", points.tobytes()),
            ("calib", f"{i:06d}.txt", CALIBRATION.encode()),
            ("label_2", f"{i:06d}.txt", b"Car 0 0 0 20 14 44 34 2 2 2 0 1 6 0\n"),
        ):
            (base / folder).mkdir(exist_ok=True)
            (base / folder / name).write_bytes(data)
    return root


def _snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes; `timings.json` and `log.txt` may differ from run to run."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in sorted(folder.rglob("*"))
        if path.name not in {"timings.json", "log.txt"}
    }


def _python_path(*first: Path) -> str:
    inherited = os.environ.get("PYTHONPATH", "")
    folders = [*first, ROOT, ROOT / "integrations"]
    return os.pathsep.join([*map(str, folders), *filter(None, [inherited])])


MARKS = ("models", "ray", "browser", "oracle", "slow")
LONG = ("ray", "models", "browser", "oracle", "slow")  # what waits for processes comes first
MARKED_BY = {
    "oracle": {"oracle", "s3_server"},
    "browser": {"browser"},
    "slow": {"command", "in_worker"},  # they start processes
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they ask for, as quick what has no other mark; put long files first.

    Else a worker begins with a cluster when the others have ended. Files stay together: what they
    make once is made once.
    """
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        for mark, fixtures in MARKED_BY.items():
            if fixtures & asked:
                item.add_marker(getattr(pytest.mark, mark))
        if not any(item.get_closest_marker(mark) for mark in MARKS):
            item.add_marker(pytest.mark.quick)
    ranks: dict[Path, int] = {}
    for item in items:
        marks = [rank for rank, mark in enumerate(LONG) if item.get_closest_marker(mark)]
        ranks[item.path] = min([ranks.get(item.path, len(LONG)), *marks])
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="session", autouse=True)
def networks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled networks for the tests of all workers, and apart from those of the person."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["XDG_CACHE_HOME"] = str(base / "networks")


@pytest.fixture(scope="session")
def draw() -> Callable[..., Path]:
    return _draw


@pytest.fixture(scope="session")
def pictures() -> Callable[[Path, int], Path]:
    return _pictures


@pytest.fixture(scope="session")
def kitti() -> Callable[[Path, int], Path]:
    return _kitti


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    return _snapshot


@pytest.fixture(scope="session")
def python_path() -> Callable[..., str]:
    """PYTHONPATH for processes that tests start, with folders of their own first."""
    return _python_path


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.Popen[str]]:
    """Start `perception` with its arguments in a process of its own."""

    def start(*tokens: object, **options: object) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": _python_path(), "NO_COLOR": "1"}
        settings = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
            "text": True,
            "env": environment,
            # A shell's background jobs, CI's perhaps, ignore SIGINT, and so would their children.
            "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        }
        arguments = [sys.executable, "-m", "perception.cli", *map(str, tokens)]
        return subprocess.Popen(arguments, **(settings | options))

    return start


@pytest.fixture
def in_worker(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> object:
    """Have worker processes, and no others, run some code before they start."""

    def prepare(code: str) -> None:
        folder = tmp_path_factory.mktemp("site")
        guard = 'import sys\nif "perception.execution.child" in sys.orig_argv:\n'
        indented = "".join(f"    {line}\n" for line in code.splitlines())
        (folder / "sitecustomize.py").write_text(guard + indented)
        monkeypatch.setenv("PYTHONPATH", _python_path(folder))

    return prepare


@pytest.fixture
def detector_does(in_worker: Callable[[str], None]) -> Callable[[str], None]:
    """Have the bright detector do something first, for each `picture`, in worker processes."""

    def prepare(deed: str) -> None:
        in_worker(
            "import os, signal, sys, time\n"
            "from perception.models import fakes\n"
            "plain = fakes.BrightDetector.__call__\n"
            "def detect(self, picture):\n"
            f"    {deed}\n"
            "    return plain(self, picture)\n"
            "fakes.BrightDetector.__call__ = detect\n"
        )

    return prepare


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a reference tool from `.oracles` (or $PERCEPTION_ORACLES); skip without it."""
    home = Path(os.environ.get("PERCEPTION_ORACLES", str(ROOT / ".oracles")))

    def load(name: str) -> ModuleType:
        folders = [
            str(path) for path in (*home.glob("*"), *home.glob("*/lib/python*/site-packages"))
        ]
        monkeypatch.setattr(sys, "path", [*sys.path, str(home), *map(str, folders)])
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"{name} is not installed: `make oracles` does that ({error})")

    return load


SERVER = """
import os, sys, threading
from moto.server import ThreadedMotoServer

os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # it says each request
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start an S3 server of this machine alone, moto's; yield its address."""
    home = Path(os.environ.get("PERCEPTION_ORACLES", str(ROOT / ".oracles")))
    if not (home / "moto").is_dir():
        pytest.skip("moto is not installed: `make oracles` does that")
    path = os.pathsep.join(str(folder) for folder in home.glob("*"))
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert server.stdin and server.stdout
    port = server.stdout.readline().strip()
    assert port, "moto did not start"
    yield f"http://127.0.0.1:{port}"
    server.stdin.close()
    server.wait()
    server.stdout.close()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead every connection of this process, and of those that it starts, to the test's server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    buckets._file_system.cache_clear()
    return s3_server.removeprefix("http://")


@pytest.fixture
def put(s3: str, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make a bucket of the test's own and copy a folder into it; return its address."""
    name = f"b{abs(hash(request.node.name))}"

    def copy(folder: Path | None = None, prefix: str = "drive") -> str:
        connection = http.client.HTTPConnection(s3)
        connection.request("PUT", f"/{name}")
        connection.getresponse().read()
        for path in sorted(folder.rglob("*")) if folder else ():
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                connection.request("PUT", f"/{name}/{key}", body=path.read_bytes())
                assert connection.getresponse().read() == b""
        connection.close()
        return f"s3://{name}/{prefix}"

    return copy


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the local address that serves it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()
    with warnings.catch_warnings():  # pooch leaves the connection of a refused request open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
