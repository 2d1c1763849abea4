"""perception_onnx: what YOLO and YOLOX files say, in both runtimes, and without AGPL code."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.boxes import paired_ious
from perception.core.config import ModelSpec, ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Float32, Picture, UInt8
from perception.io.images import decode_image
from perception.models import registry
from perception.models.backends import detector_resolved
from perception.models.import_guard import harden
from perception.models.tiles import TiledDetector

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from perception_onnx import sessions
from perception_onnx.coco import COCO_NAMES
from perception_onnx.detector import OnnxDetector, load_detector
from perception_onnx.heads import Head, cells
from perception_onnx.letterbox import FILL, letterbox
from perception_onnx.sessions import Port
from perception_onnx.telling import Said, tell

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "datasets" / "pocket" / "pocket.onnx"
DATA = ROOT.parent / "shared" / "data"
OPENVINO = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="needs pip install openvino"
)
ENGINES = ["onnxruntime", pytest.param("openvino", marks=OPENVINO)]


def settings(engine: str = "onnxruntime", **more: object) -> ObserveConfig:
    return ObserveConfig.model_validate({"threads": 1, "detect_backend": engine, **more})


def weights(name: str) -> Path:
    path = DATA / "weights" / name
    if not path.is_file():
        pytest.skip(f"needs ../shared/data/weights/{name}")
    return path


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """Write a file that answers every image with the same numbers."""

    def write(answer: Float32, shape: tuple[object, ...] = (1, 3, 64, 64), **said: object) -> Path:
        numbers = onnx.numpy_helper.from_array(answer[None].astype(np.float32), "answer")
        zero = onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero")
        nodes = [
            onnx.helper.make_node("ReduceMax", ["images"], ["peak"], keepdims=0),
            onnx.helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
            onnx.helper.make_node("Add", ["answer", "nothing"], ["output"]),
        ]
        kind = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            nodes,
            "constant",
            [onnx.helper.make_tensor_value_info("images", kind, shape)],
            [onnx.helper.make_tensor_value_info("output", kind, [1, *answer.shape])],
            [numbers, zero],
        )
        opset = [onnx.helper.make_opsetid("", 13)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.helper.set_model_props(model, {key: str(value) for key, value in said.items()})
        path = tmp_path / "network.onnx"
        onnx.save(model, path)
        return path

    return write


def picture(height: int, width: int) -> Picture:
    return Picture("", "grey.png", np.full((height, width, 3), 90, np.uint8))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_yolox_grid_worked_by_hand(engine: str, network: Callable[..., Path]) -> None:
    # 64 x 64 pixels: 8 x 8 cells of 8 px, then 4 x 4 of 16 px, then 2 x 2 of 32 px
    raw = np.zeros((84, 85), np.float32)
    # Cell x 3, y 2 of the finest grid: centre ((3 + 0.5) 8, (2 + 0.25) 8) = (28, 18); 16 x 8 px.
    raw[2 * 8 + 3, :5] = 0.5, 0.25, np.log(2), 0, 0.8
    raw[2 * 8 + 3, 5 + COCO_NAMES.index("car")] = 0.5  # score 0.8 x 0.5
    # Cell x 1, y 0 of the coarsest: centre ((1 + 0) 32, (0 + 1) 32) = (32, 32); 32 x 64 px.
    raw[64 + 16 + 1, :5] = 0, 1, 0, np.log(2), 1
    raw[64 + 16 + 1, 5 + COCO_NAMES.index("person")] = 0.9
    raw[5, 4:6] = 0.5, 0.3  # 0.15: below the floor
    detector = load_detector(network(raw), settings(engine))
    assert detector.class_names == COCO_NAMES
    # Twice as wide as high: scaled by one half, at the top left; the lower half is filling.
    found = detector(picture(64, 128))
    assert [detector.class_names[i] for i in found.class_ids] == ["person", "car"]
    np.testing.assert_allclose(found.scores, [0.9, 0.4], atol=1e-6)
    expected = [[32, 0, 96, 64], [40, 28, 72, 44]]  # the person leaves the image at both ends
    np.testing.assert_allclose(found.boxes_xyxy, expected, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_yolo_numbers_worked_by_hand(engine: str, network: Callable[..., Path]) -> None:
    numbers = np.zeros((4 + 2 + 3, 84), np.float32)  # two classes, three mask coefficients
    numbers[:, 0] = 32, 32, 16, 8, 0.1, 0.7, 9, 9, 9
    numbers[:, 1] = 33, 32, 16, 8, 0.0, 0.6, 9, 9, 9  # the same object, seen less well
    numbers[:, 2] = 33, 32, 16, 8, 0.5, 0.1, 9, 9, 9  # of the other class: stays
    path = network(numbers, names={0: "van", 1: "bus"}, task="segment")
    detector = load_detector(path, settings(engine))
    # Scaled by one half, in the middle: 16 rows of filling above.
    found = detector(picture(64, 128))
    assert [detector.class_names[i] for i in found.class_ids] == ["bus", "van"]
    np.testing.assert_allclose(found.scores, [0.7, 0.5])
    np.testing.assert_allclose(found.boxes_xyxy, [[48, 24, 80, 40], [50, 24, 82, 40]])


def test_a_file_that_chooses_by_itself_is_read_as_it_stands(network: Callable[..., Path]) -> None:
    rows = np.zeros((5, 6), np.float32)
    rows[0] = 10, 20, 30, 40, 0.9, 1
    path = network(rows, names={0: "van", 1: "bus"}, end2end=True)
    found = load_detector(path, settings())(picture(64, 64))
    assert found.class_ids.tolist() == [1]
    np.testing.assert_array_equal(found.boxes_xyxy, [[10, 20, 30, 40]])


def told(*answers: Float32, names: int = 0, size_hw: tuple[int, int] = (64, 64)) -> Head:
    ports = [Port(f"output{place}", answer.shape, "f32") for place, answer in enumerate(answers)]
    return tell(ports, answers, size_hw, Said(names), "network.onnx")


def test_a_yolox_export_that_did_the_arithmetic_is_not_decoded_twice() -> None:
    places, strides_px = cells((64, 64))
    raw = np.zeros((1, 84, 85), np.float32)
    raw[..., 4:] = 0.9
    done = raw.copy()
    done[0, :, :2], done[0, :, 2:4] = places * strides_px, strides_px
    first, second = told(raw), told(done)
    assert (first.layout, first.raw_bgr, first.centred) == ("YOLOX", True, False)
    np.testing.assert_allclose(first.read([raw], (64, 64))[0], second.read([done], (64, 64))[0])


def test_nothing_found_is_an_answer(network: Callable[..., Path]) -> None:
    found = load_detector(network(np.zeros((84, 85), np.float32)), settings())(picture(20, 20))
    assert len(found) == 0 and found.boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    ("answer", "shape", "said", "message"),
    [
        ((84, 7), (1, 3, 64, 64), {}, "knows 2 or 3 classes and does not name them"),
        ((100, 7), (1, 3, 64, 64), {}, "expected YOLO"),
        ((84, 84), (1, 3, 64, 64), {"names": {0: "a", 1: "b"}}, "knows 79 or 80 classes"),
        ((56, 84), (1, 3, 64, 64), {"names": {0: "person"}}, "knows 52 classes"),  # a pose
        ((20, 84), (1, 3, 64, 64), {}, "does not name them"),
        ((84, 84), (1, 1, 64, 64), {}, "expected pixels"),
        ((84, 84), (1, 3, 64), {}, "expected pixels"),
        ((84, 84), (1, 3, "h", 64), {}, "one side"),
        ((84, 84), (1, 3, 64, 64), {"task": "pose"}, "task is pose"),
        ((84, 84), (1, 3, 64, 64), {"names": "{1: 'car'}"}, "its metadata"),
        ((84, 84), (1, 3, 64, 64), {"names": "__import__('os')"}, "its metadata"),
    ],
)
def test_other_files_are_refused_with_what_was_expected(
    answer: tuple[int, ...],
    shape: tuple[object, ...],
    said: dict[str, object],
    message: str,
    network: Callable[..., Path],
) -> None:
    path = network(np.zeros(answer, np.float32), shape, **said)
    with pytest.raises(RequestError, match=rf"weights\.invalid.*network\.onnx.*{message}"):
        load_detector(path, settings())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x08\x07" + bytes(50), b""])
def test_what_is_no_model_is_a_clear_error(content: bytes, engine: str, tmp_path: Path) -> None:
    path = tmp_path / "yolo.onnx"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"weights\.invalid.*yolo\.onnx"):
        load_detector(path, settings(engine))


def test_a_runtime_that_is_not_installed_is_named_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harden()  # which would take the hidden module for an imported one
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(sessions, "_core", sessions._core.__wrapped__)  # one may be there already
    with pytest.raises(RequestError, match=r"extra\.missing.*openvino.*pip install"):
        load_detector(POCKET, settings("openvino"))


def test_an_image_in_the_middle_of_the_input_worked_by_hand() -> None:
    # 100 x 40 into 64 x 64: scaled by 0.64 to 64 x 26 (25.6), 19 rows above and 19 below
    box = letterbox((40, 100), (64, 64), free=False, centred=True)
    assert (box.scaled_hw, box.corner_yx, box.input_hw) == ((26, 64), (19, 0), (64, 64))
    pixels = box.fill(np.zeros((40, 100, 3), np.uint8))
    assert (
        (pixels[:19] == FILL).all() and (pixels[19:45] == 0).all() and (pixels[45:] == FILL).all()
    )
    at_the_top = letterbox((40, 100), (64, 64), free=False, centred=False)
    assert at_the_top.corner_yx == (0, 0)
    # with free sizes it ends at the next multiple of 32: 3 rows above
    free = letterbox((40, 100), (64, 64), free=True, centred=True)
    assert (free.input_hw, free.corner_yx) == ((32, 64), (3, 0))


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    free=st.booleans(),
    centred=st.booleans(),
)
def test_the_image_s_own_corners_come_back(
    height: int, width: int, free: bool, centred: bool
) -> None:
    box = letterbox((height, width), (320, 416), free=free, centred=centred)
    (top, left), (rows, columns) = box.corner_yx, box.scaled_hw
    inside = np.array([[left, top, left + columns, top + rows]], np.float32)
    assert top + rows <= box.input_hw[0] and left + columns <= box.input_hw[1]
    np.testing.assert_allclose(box.to_image(inside), [[0, 0, width, height]], rtol=1e-5)


def test_yolox_sees_blue_green_red_and_yolo_red_green_blue_shares() -> None:
    orange = np.zeros((64, 64, 3), np.uint8)
    orange[:] = 255, 102, 0
    for name, expected in (("yolox_nano.onnx", [0, 102, 255]), ("yolov8n_int8.onnx", [1, 0.4, 0])):
        detector = load_detector(weights(name), settings())
        seen: list[Float32] = []
        run: Any = detector._session

        def spy(batch: Float32, wanted: Any, run: Any = run, seen: list[Float32] = seen) -> Any:
            seen.append(batch)
            return run(batch, wanted)

        detector._session = spy  # type: ignore[assignment]
        detector(Picture("", "", orange))
        np.testing.assert_allclose(seen[0][0, :, 200, 200], expected, rtol=1e-6)


def real_images() -> list[UInt8]:
    paths = [
        DATA / "cityscapes" / "leftImg8bit" / "aachen_000000_000019_leftImg8bit.png",
        DATA / "kitti_object" / "training" / "image_2" / "000001.png",
        DATA / "coco" / "train2017" / "000000000071.jpg",
    ]
    if not all(path.is_file() for path in paths):
        pytest.skip("needs the images of ../shared/data")
    return [decode_image(path) for path in paths]


@pytest.mark.parametrize("name", ["yolov8n_int8.onnx", "yolov8n-seg_int8.onnx", "pocket.onnx"])
def test_the_boxes_are_those_of_ultralytics(name: str) -> None:
    """`pocket.onnx` has free sizes, and so many boxes on photographs that the order counts."""
    pytest.importorskip("ultralytics")
    from perception_ultralytics.detector import load_detector as load_other

    path = POCKET if name == POCKET.name else weights(name)
    ours, theirs = load_detector(path, settings()), load_other(path, settings())
    assert ours.class_names == theirs.class_names
    for image in real_images():
        found, expected = ours(Picture("", "", image)), theirs(Picture("", "", image))
        np.testing.assert_array_equal(found.class_ids, expected.class_ids)
        np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=1e-3)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


@OPENVINO
def test_both_runtimes_find_the_same_where_nothing_is_rounded_to_integers() -> None:
    engines = ("onnxruntime", "openvino")
    detectors = [load_detector(weights("yolox_nano.onnx"), settings(e)) for e in engines]
    count = 0
    for image in real_images():
        first, second = (detector(Picture("", "", image)) for detector in detectors)
        count += len(first)
        np.testing.assert_array_equal(first.class_ids, second.class_ids)
        np.testing.assert_allclose(first.boxes_xyxy, second.boxes_xyxy, atol=0.1)
        np.testing.assert_allclose(first.scores, second.scores, atol=1e-3)
    assert count >= 4


@pytest.mark.parametrize("engine", ENGINES)
def test_yolox_finds_the_bus_and_the_people_in_their_places(engine: str) -> None:
    package = importlib.util.find_spec("ultralytics")
    if package is None or package.origin is None:
        pytest.skip("needs the photograph that ships with ultralytics")
    image = cv2.imread(str(Path(package.origin).parent / "assets" / "bus.jpg"))[..., ::-1]
    detector = load_detector(weights("yolox_nano.onnx"), settings(engine))
    found = detector(Picture("camera", "bus.jpg", np.ascontiguousarray(image)))
    names = [detector.class_names[i] for i in found.class_ids]
    assert names.count("bus") == 1 and names.count("person") >= 3
    place = np.array([[14, 229, 805, 752]], np.float32)
    assert paired_ious(found.boxes_xyxy[[names.index("bus")]], place)[0] > 0.85


def test_onnx_runtime_takes_the_threads_of_the_settings() -> None:
    session: Any = OnnxDetector(POCKET, settings(threads=3))._session
    assert session._session.get_session_options().intra_op_num_threads == 3


def test_models_that_are_freed_leave_a_process_that_hears_signals(
    network: Callable[..., Path], python_path: Callable[..., str]
) -> None:
    # OpenVINO's cores set the stack of signals where there is AMX; the order of their ends counts.
    pytest.importorskip("openvino")
    path = network(np.zeros((84, 84), np.float32))
    code = (
        "import gc, os, signal, sys\nfrom pathlib import Path\n"
        "from perception.models.import_guard import harden\nharden()\n"
        "from perception.core.config import ObserveConfig\n"
        "from perception_onnx.sessions import OpenVinoSession\n"
        "sessions = [OpenVinoSession(Path(sys.argv[1]), ObserveConfig()) for _ in range(2)]\n"
        "while sessions:\n    sessions.pop(0)\n    gc.collect()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('heard'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("heard\n", 0), done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_the_path_without_agpl_loads_neither_ultralytics_nor_telemetry(
    engine: str, python_path: Callable[..., str]
) -> None:
    code = f"""
import os, sys
from pathlib import Path
import numpy as np
from perception.models import registry as backends
from perception.core.config import ObserveConfig
from perception.core.types import Picture
config = ObserveConfig(threads=1, detect_backend={engine!r})
detector = backends.load_detector("onnx", Path({str(POCKET)!r}), config)
detector(Picture("", "", np.zeros((64, 64, 3), np.uint8)))
assert {engine!r} in sys.modules
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
print(sorted(n for n in ("torch", "ultralytics", "openvino_telemetry") if sys.modules.get(n)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": python_path(), "PATH": ""},
    )
    assert done.stdout.strip() == "[]", done.stderr


@OPENVINO
def test_the_backend_is_chosen_by_the_device_and_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chosen(kind: str = "onnx", **more: object) -> str:
        can = registry.capabilities_of(kind, Path())
        return detector_resolved(settings(**{"engine": "auto", **more}), can).detect_backend

    assert chosen() == "openvino"
    assert chosen(device="cuda:0") == "onnxruntime"
    assert chosen(engine="onnxruntime") == "onnxruntime"
    assert chosen("yolo") == chosen("boxes") == "auto"
    monkeypatch.setattr("perception.models.backends.find_spec", lambda name: None)
    assert chosen() == "onnxruntime"
    for kind, more in (("yolo", {}), ("onnx", {"device": "cuda:0"})):
        with pytest.raises(RequestError, match=r"config\.invalid.*--detect-backend openvino"):
            chosen(kind, engine="openvino", **more)


def test_the_table_of_models_gives_tiles_where_the_settings_say_so() -> None:
    choice = registry.choose_detector(str(POCKET), trust_weights=False)
    assert isinstance(choice.spec, ModelSpec) and choice.spec.kind == "onnx"
    tiled = registry.load_detector("onnx", POCKET, settings())
    assert isinstance(tiled, TiledDetector)
    plain = registry.load_detector("onnx", POCKET, settings(detect_tiles="off"))
    assert isinstance(plain, OnnxDetector) and plain.input_hw == (1248, 1248)
