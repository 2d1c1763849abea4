"""int8 weights as uint8: the same integers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

from perception_onnx.unsigned import quick_model, shift_weights

pytestmark = pytest.mark.models

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights" / "yolov8n_int8.onnx"


def network(*, zero_point: int | None = 3, also_adds: bool = False) -> Any:
    """Return a network of one ConvInteger, 2 x 3 x 3 x 3 int8 weights."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (2, 3, 3, 3)).astype(np.int8)
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.uint8(7), "x0"),
    ]
    inputs = ["x", "w", "x0"]
    if zero_point is not None:
        constants.append(numpy_helper.from_array(np.int8(zero_point), "w0"))
        inputs.append("w0")
    nodes = [helper.make_node("ConvInteger", inputs, ["y"])]
    if also_adds:
        nodes.append(helper.make_node("Identity", ["w0"], ["z"]))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 2, 6, 6])],
        constants,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def answer(model: bytes) -> Any:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(1).integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    return session.run(None, {"x": pixels})[0]


@pytest.mark.parametrize("zero_point", [-128, 0, 3, 127])
def test_the_answers_are_the_same_integers(zero_point: int) -> None:
    model = network(zero_point=zero_point)
    before = answer(model.SerializeToString())
    assert shift_weights(model.graph) == 1
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    assert kinds == {"w": TensorProto.UINT8, "w0": TensorProto.UINT8, "x0": TensorProto.UINT8}
    np.testing.assert_array_equal(answer(model.SerializeToString()), before)
    assert shift_weights(model.graph) == 0  # nothing is shifted twice


def test_weights_without_zero_point_or_with_other_users_stay() -> None:
    for model in (network(zero_point=None), network(also_adds=True)):
        before = model.SerializeToString()
        assert shift_weights(model.graph) == 0
        assert model.SerializeToString() == before


def test_a_file_without_such_layers_is_not_opened_twice(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    path.write_bytes(b"no such layer")
    assert quick_model(path) == path
    onnx.save(network(zero_point=None), path)
    assert quick_model(path) == path
    onnx.save(network(), path)
    assert isinstance(quick_model(path), bytes)


@pytest.mark.skipif(not DATA.is_file(), reason="the real weights are not beside the repository")
def test_a_real_detector_gives_the_same_bytes() -> None:
    pixels = np.random.default_rng(2).random((1, 3, 320, 320)).astype(np.float32)
    found = []
    for model in (str(DATA), quick_model(DATA)):
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        found.append(session.run(None, {session.get_inputs()[0].name: pixels})[0])
    np.testing.assert_array_equal(*found)
