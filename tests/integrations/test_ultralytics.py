"""perception_ultralytics: YOLO weights as a detector, and the switches set before the import."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from perception.core import masks
from perception.core.boxes import paired_ious
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Picture, UInt8
from perception.models.import_guard import SWITCHES, harden, refuse_compromised

harden()  # before anything below imports ultralytics

from perception_ultralytics.detector import load_detector
from perception_ultralytics.segmenter import load_segmenter

pytestmark = pytest.mark.models

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
CONFIG = ObserveConfig(threads=1)


def bus() -> UInt8:
    """A photograph that ships with the ultralytics package: a bus and four people."""
    path = Path(str(resources.files("ultralytics"))) / "assets" / "bus.jpg"
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pickled YOLOv8n with random weights."""
    from ultralytics.models import YOLO

    path = tmp_path_factory.mktemp("yolo") / "untrained.pt"
    YOLO("yolov8n.yaml").save(path)
    return path


def test_pickled_weights_load_with_their_names_and_leave_threads_alone(untrained: Path) -> None:
    torch.set_num_threads(2)
    detector = load_detector(untrained, CONFIG)
    assert len(detector.class_names) == 80
    assert torch.get_num_threads() == 1  # what the settings say; select_device had changed it
    torch.set_num_threads(2)
    image = bus()
    image.setflags(write=False)
    before = image.copy()
    detector(Picture("camera", "bus.jpg", image))
    assert torch.get_num_threads() == 1
    np.testing.assert_array_equal(image, before)


def test_a_pickle_with_foreign_code_is_refused_even_where_a_person_trusts_it(
    untrained: Path, tmp_path: Path
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pt"
    code = f"import pathlib; pathlib.Path({str(canary)!r}).touch()"
    content = torch.load(untrained, weights_only=False)
    content["extra"] = Evil(code)
    torch.save(content, path)
    with pytest.raises(RequestError, match=r"weights\.invalid"):
        load_detector(path, CONFIG)
    assert not canary.exists()


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (self._code,)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x08\x07" + bytes(50), b""])
def test_what_is_no_model_is_a_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "yolo.onnx"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"weights\.invalid.*yolo\.onnx"):
        load_detector(path, CONFIG)


def test_real_weights_find_the_bus_and_the_people_in_their_places() -> None:
    weights = SHARED / "weights" / "yolov8n_int8.onnx"
    if not weights.is_file():
        pytest.skip("needs ../shared/data/weights/yolov8n_int8.onnx")
    detector = load_detector(weights, CONFIG)
    found = detector(Picture("camera", "bus.jpg", bus()))
    names = [detector.class_names[i] for i in found.class_ids]
    assert names.count("bus") == 1
    assert names.count("person") >= 3
    place = np.array([[14, 229, 805, 752]], np.float32)
    assert paired_ious(found.boxes_xyxy[[names.index("bus")]], place)[0] > 0.9
    assert (found.scores >= CONFIG.min_score).all()
    assert (np.diff(found.scores) <= 0).all()


def test_blue_and_red_are_not_swapped() -> None:
    weights = SHARED / "weights" / "yolov8n_int8.onnx"
    if not weights.is_file():
        pytest.skip("needs ../shared/data/weights/yolov8n_int8.onnx")
    detector = load_detector(weights, CONFIG)
    path = Path(str(resources.files("ultralytics"))) / "assets" / "bus.jpg"
    expected = detector._network._model.predict(cv2.imread(str(path)), conf=0.2, verbose=False)[0]
    found = detector(Picture("camera", "bus.jpg", bus()))
    np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes.xyxy.numpy())


def test_the_switches_come_before_the_import(tmp_path: Path) -> None:
    code = (
        "import ultralytics\n"
        "from perception.models.import_guard import harden\n"
        "from perception.core.errors import RequestError\n"
        "try:\n    harden()\nexcept RequestError as error:\n    print(error.code)\n"
    )
    environment = {
        **SWITCHES,
        "YOLO_CONFIG_DIR": str(tmp_path),
        "MPLCONFIGDIR": str(tmp_path),
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.strip().endswith("security.bootstrap")


def test_ultralytics_saw_the_switches_and_a_folder_that_is_not_the_home() -> None:
    from ultralytics.nn.tasks import SAFE_LOAD
    from ultralytics.utils import AUTOINSTALL, ONLINE, USER_CONFIG_DIR

    assert SWITCHES["YOLO_OFFLINE"] == "True"
    assert (ONLINE, AUTOINSTALL, SAFE_LOAD) == (False, False, True)
    assert not Path(USER_CONFIG_DIR).is_relative_to(Path.home() / ".config")


@pytest.mark.parametrize("version", ["8.3.41", "8.3.42", "8.3.45", "8.3.46"])
def test_the_releases_that_carried_a_miner_are_refused(version: str) -> None:
    with pytest.raises(RequestError, match=r"security\.version"):
        refuse_compromised(version)


SEG_WEIGHTS = SHARED / "weights" / "yolov8n-seg_int8.onnx"
needs_seg = pytest.mark.skipif(
    not SEG_WEIGHTS.is_file(), reason="needs ../shared/data/weights/yolov8n-seg_int8.onnx"
)


@needs_seg
def test_each_own_box_gets_its_own_mask_as_ultralytics_draws_it() -> None:
    path = Path(str(resources.files("ultralytics"))) / "assets" / "bus.jpg"
    detector, segmenter = load_detector(SEG_WEIGHTS, CONFIG), load_segmenter(SEG_WEIGHTS, CONFIG)
    found = detector(Picture("camera", "bus.jpg", bus()))
    from ultralytics.models import YOLO

    expected = YOLO(str(SEG_WEIGHTS), task="segment").predict(
        cv2.imread(str(path)), conf=0.2, iou=0.7, retina_masks=True, verbose=False, save=False
    )[0]
    np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes.xyxy.numpy())
    backwards = found.boxes_xyxy[::-1].copy()  # the masks follow the prompts, not the model
    answers = segmenter(bus(), backwards)
    drawn = expected.masks.data.numpy()[::-1].astype(bool)
    assert len(drawn) >= 4
    np.testing.assert_array_equal(masks.decode(answers.masks), drawn)


@needs_seg
def test_a_box_that_no_instance_overlaps_by_half_has_an_empty_mask() -> None:
    segmenter = load_segmenter(SEG_WEIGHTS, CONFIG)
    # the sky; the bus by more than half; the left half of the bus, and a bit less
    prompts = np.array([[0, 0, 50, 50], [33, 236, 700, 743], [33, 236, 400, 743]], np.float32)
    areas = masks.areas(segmenter(bus(), prompts).masks)
    assert (areas > 0).tolist() == [False, True, False]
    assert len(segmenter(bus(), np.zeros((0, 4), np.float32)).masks) == 0


@needs_seg
def test_weights_without_masks_are_no_segmenter(untrained: Path) -> None:
    with pytest.raises(RequestError, match=r"weights\.invalid.*task is detect"):
        load_segmenter(untrained, CONFIG)
