"""Detectors and segmenters as exporters write them: the right boxes, or one sentence of refusal."""

import importlib.util
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError, SampleError
from perception.core.types import Picture
from perception.models import registry

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from perception_onnx.coco import COCO_NAMES  # noqa: E402
from perception_onnx.detector import load_detector  # noqa: E402

Array = np.ndarray[Any, Any]
OPENVINO = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="needs pip install openvino"
)
SIDE_PX, TOP_PX = 160, 20  # of the input; 120 x 160 pixels stand in its middle
CELLS = 400 + 100 + 25
TRAIN, CAR = COCO_NAMES.index("train"), COCO_NAMES.index("car")
# Of the street, in the input: class, score, centre and sides; cells that are far from each other.
SEEN = ((50, TRAIN, 0.8, (65, 50, 90, 40)), (410, CAR, 0.6, (136, 90, 12, 20)))
COCO_SAID = {"names": dict(enumerate(COCO_NAMES))}
NAMES = {
    "dict": str(dict(enumerate(COCO_NAMES))),
    "json": json.dumps({str(i): name for i, name in enumerate(COCO_NAMES)}),
    "list": json.dumps(COCO_NAMES),
    "python list": str(list(COCO_NAMES)),
    "lines": "\n".join(COCO_NAMES),
}


def rows(top: int = TOP_PX, corners: bool = False) -> list[tuple[int, int, float, list[float]]]:
    """Return what the network sees: cell, class, score, box in the input."""
    found = []
    for cell, number, score, (x, y, width, height) in SEEN:
        sides = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        box = [sides[0], sides[1] + top, sides[2], sides[3] + top] if corners else None
        found.append((cell, number, score, box or [x, y + top, width, height]))
    return found


def yolo(classes: int = 80, more: int = 0, corners: bool = False) -> Array:
    """(1, 4 + C + K, A)."""
    table = np.zeros((1, 4 + classes + more, CELLS), np.float32)
    if corners:  # only a table in which every cell says so is one of corners
        table[0, :4] = np.array([[10, 10, 14, 14]]).T
    for cell, number, score, box in rows(corners=corners):
        table[0, :4, cell] = box
        table[0, 4 + (number if classes == 80 else number == TRAIN), cell] = score
    return table


def objectness(
    each: int = 1, always: bool = False, top: int = TOP_PX, classes: int = 80, more: int = 0
) -> Array:
    """(1, n A, 5 + C + K)."""
    table = np.zeros((1, each * CELLS, 5 + classes + more), np.float32)
    table[..., 4] = always
    table[0, -1, :4] = 150, 150, 8, 8  # the last cell of the grids has its box at their end
    for cell, number, score, box in rows(top):
        table[0, cell * each, :5] = [*box, 1 if always else 0.9]
        table[0, cell * each, 5 + (number if classes == 80 else 0)] = score
    return table


def chosen(count: int = 300, more: int = 0, share: bool = False) -> Array:
    """(1, R, 6 + K): corners, score, class."""
    table = np.zeros((1, count, 6 + more), np.float32)
    for row, (_, number, score, box) in enumerate(rows(corners=True)):
        table[0, row, :6] = [*(side / (SIDE_PX if share else 1) for side in box), score, number]
    return table


def pair() -> tuple[Array, Array]:
    """(1, A, 4) corners and (1, A, C) scores."""
    boxes = np.zeros((1, CELLS, 4), np.float32)
    scores = np.zeros((1, CELLS, 80), np.float32)
    for cell, number, score, box in rows(corners=True):
        boxes[0, cell], scores[0, cell, number] = box, score
    return boxes, scores


def batch_rows(score_first: bool, empty: bool = False) -> Array:
    """(N, 7): picture, corners, and class and score or score and class; one of another picture."""
    table = [
        [0, *box, *((score, number) if score_first else (number, score))]
        for _, number, score, box in rows(corners=True)
    ]
    other = [1, 0, 0, 50, 50, *((0.9, 2) if score_first else (2, 0.9))]
    return np.array([] if empty else [*table, other], np.float32).reshape(-1, 7)


def counted(share: bool = False) -> tuple[Array, Array, Array, Array]:
    """How many, corners, scores and classes; what stands behind the count is filling."""
    table = chosen(100, share=share)[0]
    table[2] = [0.1, 0.1, 0.9, 0.9, 0.9, 0]
    count = np.array([[2]], np.int32)
    return count, table[None, :, :4], table[None, :, 4], table[None, :, 5].astype(np.int32)


@dataclass(frozen=True)
class Network:
    """A file that answers every picture with the same numbers.

    Attributes:
        outputs: By name.
        shape: Of the input.
        kind: Of its numbers, and of the floats that it answers.
        said: Its metadata.
        inputs: Names of further inputs.
        batch: Each answer is repeated so often.
        one_size: It computes pictures of the usual size only, whatever `shape` says.
    """

    outputs: dict[str, Array]
    shape: tuple[object, ...] = (1, 3, SIDE_PX, SIDE_PX)
    kind: Any = np.float32
    said: dict[str, object] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    batch: int = 1
    one_size: bool = False

    def write(self, path: Path) -> Path:
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self.kind))
        asked = [onnx.helper.make_tensor_value_info("images", kind, self.shape)]
        for name in self.inputs:
            asked.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [1, 2]))
        # 0 times a pixel is added, so that no runtime takes the answer for a constant
        nodes = [
            onnx.helper.make_node("Cast", ["images"], ["numbers"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Add", ["numbers", "ground"], ["sum"]),
            onnx.helper.make_node("ReduceMax", ["sum"], ["peak"], keepdims=0),
            onnx.helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
        ]
        ground = (3, SIDE_PX, SIDE_PX) if self.one_size else ()
        constants = [
            onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
            for name, shape in (("zero", ()), ("ground", ground))
        ]
        told = []
        for name, answer in self.outputs.items():
            answer = np.repeat(answer, self.batch, axis=0) if self.batch > 1 else answer
            dtype = np.dtype(self.kind) if answer.dtype.kind == "f" else answer.dtype
            dtype = dtype if dtype.kind != "u" else np.dtype(np.float32)
            to = onnx.helper.np_dtype_to_tensor_dtype(dtype)
            constants.append(onnx.numpy_helper.from_array(answer.astype(np.float32), f"{name}_"))
            nodes.append(onnx.helper.make_node("Add", [f"{name}_", "nothing"], [f"{name}__"]))
            nodes.append(onnx.helper.make_node("Cast", [f"{name}__"], [name], to=to))
            told.append(onnx.helper.make_tensor_value_info(name, to, answer.shape))
        graph = onnx.helper.make_graph(nodes, "constant", asked, told, constants)
        opset = [onnx.helper.make_opsetid("", 13)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.helper.set_model_props(model, {key: str(value) for key, value in self.said.items()})
        onnx.save(model, path)
        return path


def one(answer: Array, **more: Any) -> Network:
    return Network({"output0": answer}, **more)


PROTOTYPES = np.full((1, 32, 40, 40), 0.5, np.float32)
BOXES, SCORES = pair()
COUNT, DET_BOXES, DET_SCORES, DET_CLASSES = counted()
GRID_MAP = np.full((1, 3, 20, 20, 85), 0.5, np.float32)
READ = {
    "YOLOv8": one(yolo(), said=COCO_SAID),
    "ultralytics#20039 nms=True": one(
        chosen(), said=COCO_SAID | {"end2end": False, "args": "{'batch': 1, 'nms': True}"}
    ),
    "ultralytics#24697 YOLOv10's first exporters": one(chosen(), said=COCO_SAID),
    "ultralytics#9417 end to end, no metadata": one(chosen()),
    "end to end as shares": one(chosen(share=True)),
    "end to end that segments": Network({"output0": chosen(more=32), "output1": PROTOTYPES}),
    "DeepStream: all cells, corners, score, class": one(chosen(CELLS)),
    "yolov7#1228 batch rows": Network({"output": batch_rows(score_first=False)}),
    "super-gradients#1301 flat": Network({"graph2_flat_predictions": batch_rows(True)}),
    "yolov5#7144": one(objectness(3), said=COCO_SAID | {"stride": 32}),
    "YOLOv5 with its grids": Network({"output": objectness(3), "370": GRID_MAP, "450": GRID_MAP}),
    "YOLOv5-seg": Network({"output0": objectness(3, more=32), "output1": PROTOTYPES}),
    "YOLOv6 README": Network({"outputs": objectness(always=True)}),
    "YOLOX decoded": one(objectness(top=0)),
    "ultralytics#24891 batch of 4": one(yolo(), shape=(4, 3, SIDE_PX, SIDE_PX), batch=4),
    "ultralytics#22697 transposed": one(yolo().transpose(0, 2, 1), said=COCO_SAID),
    "corners of every cell": one(yolo(corners=True)),
    "super-gradients#1763 two outputs": Network({"boxes": BOXES, "scores": SCORES}),
    "two outputs across": Network({"b": BOXES, "s": SCORES.transpose(0, 2, 1)}),
    "YOLOv4 two outputs as shares": Network({"b": BOXES[:, :, None] / SIDE_PX, "s": SCORES}),
    "EfficientNMS": Network(
        {
            "num_dets": COUNT,
            "det_boxes": DET_BOXES,
            "det_scores": DET_SCORES,
            "det_classes": DET_CLASSES,
        }
    ),
    "counted, other names": Network(
        {"a": DET_CLASSES, "b": DET_SCORES, "c": DET_BOXES, "d": COUNT}
    ),
    "counted as shares": Network(
        dict(
            zip(
                ("num_predictions", "pred_boxes", "pred_scores", "pred_classes"),
                counted(share=True),
                strict=True,
            )
        )
    ),
    "YOLO-seg": Network(
        {"output0": yolo(more=32), "output1": PROTOTYPES}, said=COCO_SAID | {"task": "segment"}
    ),
    "YOLO-seg, outputs swapped, no metadata": Network({"p": PROTOTYPES, "o": yolo(more=32)}),
    "uint8": one(yolo(), kind=np.uint8),
    "channels last": one(yolo(), shape=(1, SIDE_PX, SIDE_PX, 3)),
    "channels last, uint8": one(yolo(), shape=(1, SIDE_PX, SIDE_PX, 3), kind=np.uint8),
    "float16": one(yolo(), kind=np.float16),
    "float64": one(yolo(), kind=np.float64),
    "free batch": one(yolo(), shape=("batch", 3, SIDE_PX, SIDE_PX)),
    "states free sizes, takes one": one(
        yolo(), shape=(1, 3, "h", "w"), said={"imgsz": [SIDE_PX, SIDE_PX]}, one_size=True
    ),
    **{
        f"ultralytics#9417 names as {form}": one(yolo(), said={"names": text})
        for form, text in NAMES.items()
    },
}


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=OPENVINO)])
@pytest.mark.parametrize("network", READ.values(), ids=READ.keys())
def test_the_boxes_of_every_exporter_are_those_of_the_street(
    network: Network,
    engine: str,
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    boxes_xywh: dict[str, tuple[int, int, int, int]],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "photos" / "street.png")
    path = network.write(tmp_path / "det.onnx")
    answer = label_here(
        tmp_path / "photos",
        detector=str(path),
        overrides={"observe": {"detect_tiles": "off", "detect_backend": engine, "threads": 1}},
    )
    assert answer.labels["street.png"] == sorted(boxes_xywh.items())
    named = "names" in network.said
    assert any("names no classes" in notice for notice in answer.notices) != named


OTHER = {f"unknown{i}": np.zeros((1, 40, 40, 9), np.float32) for i in range(3)}
CENTRES = chosen(share=True)
CENTRES[0, :, :4] = np.linspace(0.2, 0.9, 300)[:, None] * [1, 1, 0.1, 0.2]
LOGITS = {"pred_logits": SCORES[:, :300] * 9 - 5, "pred_boxes": BOXES[:, :300]}
TF = {"detection_boxes": DET_BOXES, "detection_scores": DET_SCORES, "num": COUNT, "c": DET_CLASSES}
REFUSED = {
    "RT-DETR#251": (
        Network(
            {"labels": DET_CLASSES, "boxes": DET_BOXES, "scores": DET_SCORES},
            inputs=("orig_target_sizes",),
        ),
        "inputs images.*orig_target_sizes.*DETR exports are not read yet",
    ),
    "DETR, without sizes": (
        Network({"labels": DET_CLASSES, "boxes": DET_BOXES, "scores": DET_SCORES}),
        "DETR exports are not read yet",
    ),
    "DETR, logits": (Network(LOGITS), "pred_logits.*DETR exports are not read yet"),
    "rf-detr": (
        Network({"dets": BOXES[:, :300], "labels": SCORES[:, :300]}),
        "DETR exports are not read yet",
    ),
    "ultralytics' RT-DETR": (
        one(CENTRES, said=COCO_SAID | {"description": "Ultralytics RT-DETR-l model"}),
        "DETR exports are not read yet",
    ),
    "centres, score, class": (one(CENTRES), r"output0 \(1, 300, 6\).*expected"),
    "PaddleDetection": (
        Network({"boxes": BOXES, "scores": SCORES}, inputs=("scale_factor",)),
        "PaddleDetection",
    ),
    "MMDeploy": (Network({"dets": DET_BOXES[..., :1].repeat(5, 2), "labels": DET_CLASSES}), "MMD"),
    "TensorFlow": (Network(TF), "TensorFlow"),
    "DAMO-YOLO: scores first": (Network({"s": SCORES, "b": BOXES}), "expected"),
    "SSD: other cells": (Network({"b": BOXES[:, :500], "s": SCORES[:, :500]}), "expected"),
    "scores that are none": (one(yolo() * 9 - 5, said=COCO_SAID), r"output0 \(1, 84, 525\)"),
    "objectness that is none": (one(objectness() * 9 - 5), r"output0 \(1, 525, 85\)"),
    "raw grids": (Network({"a": GRID_MAP}), r"a \(1, 3, 20, 20, 85\).*expected"),
    "feature maps": (Network(OTHER), "unknown2.*expected"),
    "a classifier": (one(np.zeros((1, 1000), np.float32)), r"output0 \(1, 1000\).*expected"),
    "ultralytics: OBB": (one(yolo(15, 1), said={"names": dict.fromkeys(range(15), "a")}), "16"),
    "ultralytics: OBB, said": (one(yolo(), said={"task": "obb"}), "its task is obb"),
    "fewer names": (one(yolo(), said={"names": ["car"]}), "knows 80 classes, as many names"),
    "ddddocr: no names": (one(yolo(2)), "knows 2 classes.*--names FILE.*; classes.txt lies beside"),
    "rows of 7, none a class": (one(np.full((3, 7), 0.5, np.float32)), r"output0 \(3, 7\)"),
    "one channel": (one(yolo(), shape=(1, 1, SIDE_PX, SIDE_PX)), "grey pictures only"),
    "four channels": (one(yolo(), shape=(1, 4, SIDE_PX, SIDE_PX)), "expected pixels"),
    "int8": (one(yolo(), kind=np.int8), "expected 16, 32 or 64 bit floats or uint8"),
    "takes another size": (
        one(yolo(), shape=(1, 3, "h", "w"), one_size=True),
        "640 x 640 pixels",
    ),
}


@pytest.mark.parametrize(("network", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_read_is_refused_in_one_line(
    network: Network, words: str, tmp_path: Path
) -> None:
    (tmp_path / "classes.txt").write_text("car\ntrain\n")
    path = network.write(tmp_path / "det.onnx")
    with pytest.raises(RequestError, match=rf"weights\.invalid: .*det\.onnx.*{words}") as caught:
        load_detector(path, settings())
    assert "\n" not in caught.value.message


def settings(engine: str = "onnxruntime") -> ObserveConfig:
    return ObserveConfig.model_validate({"threads": 1, "detect_backend": engine})


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=OPENVINO)])
def test_operators_of_tensorrt_are_named(engine: str, tmp_path: Path) -> None:
    node = onnx.helper.make_node("EfficientNMS_TRT", ["images"], ["y"], domain="TRT")
    asked = onnx.helper.make_tensor_value_info("images", 1, [1, 3, 64, 64])
    told = onnx.helper.make_tensor_value_info("y", 1, [1, 100, 4])
    graph = onnx.helper.make_graph([node], "g", [asked], [told])
    opset = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid("TRT", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset), tmp_path / "det.onnx")
    with pytest.raises(RequestError, match="EfficientNMS_TRT, which only TensorRT computes"):
        load_detector(tmp_path / "det.onnx", settings(engine))


@pytest.mark.parametrize(
    ("probed", "later", "words"),
    [
        (batch_rows(False, empty=True), batch_rows(True), "column 5 of its rows is no class"),
        (chosen() * 0, chosen(share=True), "shares of the input"),
        (chosen() * 0, chosen() + np.eye(6, dtype=np.float32)[5] * 80, "found class 86 of 80"),
    ],
    ids=["score before class", "shares", "more classes"],
)
def test_what_the_first_look_could_not_show_is_never_taken_on_trust(
    probed: Array, later: Array, words: str, tmp_path: Path
) -> None:
    detector = load_detector(one(probed).write(tmp_path / "det.onnx"), settings())
    detector._session = lambda batch, wanted: (later,)  # type: ignore[assignment,misc]
    with pytest.raises(SampleError, match=rf"detector\.answer.*{words}"):
        detector(Picture("", "", np.zeros((120, 160, 3), np.uint8)))


def test_ddddocr_names_that_a_person_gives_are_part_of_the_run(
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    boxes_xywh: dict[str, tuple[int, int, int, int]],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "photos" / "street.png")
    path = one(yolo(2)).write(tmp_path / "det.onnx")
    names = tmp_path / "classes.txt"
    names.write_text("car\ntrain\n")
    options = {"detector": str(path), "names": str(names)}
    answer = label_here(tmp_path / "photos", **options)
    assert answer.labels["street.png"] == sorted(boxes_xywh.items())
    names.write_text("train\ncar\n")
    with pytest.raises(RequestError, match=r"run\.mismatch.*class_names: \['car', 'train'\] there"):
        label_here(tmp_path / "photos", **options)
    names.write_text("car\ntrain\nbus\n")
    with pytest.raises(RequestError, match=r"knows 2 classes, as many names are expected"):
        label_here(tmp_path / "photos", **options, out=tmp_path / "other")
    for wrong in ({"detector": "bright"}, {"boxes": str(names)}):
        with pytest.raises(RequestError, match=r"config\.invalid.*--names"):
            label_here(tmp_path / "photos", names=str(names), **wrong)


def torch_archive(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickled)
    return path


@pytest.mark.parametrize(
    ("option", "pickled", "words"),
    [
        (
            "segmenter",
            b"cultralytics.nn.tasks\nSegmentationModel\n",
            "these are YOLO weights.*export.*format=onnx",
        ),
        ("segmenter", b"csegment_anything.modeling.sam\nSam\n", r"save its state_dict\(\) alone"),
        ("detector", b"cmodels.yolo\nDetectionModel\n", "YOLOv5's or YOLOv7's own checkpoint"),
        ("detector", b"cyolov6.models.yolo\nModel\n", r"holds a network of yolov6\.models\.yolo"),
        (
            "detector",
            b"ccollections\nOrderedDict\nctorch._utils\n_rebuild_tensor_v2\n",
            "holds tensors alone",
        ),
    ],
    ids=["ultralytics#1114", "whole SAM", "YOLOv5's own", "YOLOv6's own", "state dict only"],
)
def test_pickles_of_others_are_refused_in_our_words_before_any_work(
    option: str, pickled: bytes, words: str, tmp_path: Path
) -> None:
    path = torch_archive(tmp_path / "yolo11n-seg.pt", pickled)
    with pytest.raises(RequestError, match=rf"weights\.invalid: --{option} .*{words}") as caught:
        if option == "segmenter":
            registry.choose_segmenter(str(path))
        else:
            registry.choose_detector(str(path), trust_weights=True)
    assert "\n" not in caught.value.message and "weights_only" not in caught.value.message
