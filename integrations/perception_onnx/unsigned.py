"""Quantised weights in the form that ONNX Runtime is quick with: the same integers, unsigned.

ONNX Runtime 1.32 has no quick kernel for ConvInteger with int8 weights on x86-64: YOLOv8n at
320 pixels took 85 ms on one core, and 23 ms with weights as uint8. ConvInteger subtracts a zero
point before it multiplies, so w - z and (w + 128) - (z + 128) give the same integers, and the
network the same bytes (ONNX operator ConvInteger-10).
"""

from pathlib import Path
from typing import Any

import numpy as np

from perception.models.weights import opened

WEIGHTS, ZERO_POINT = 1, 3  # inputs of ConvInteger
SHIFT = 128


def quick_model(path: Path) -> bytes | Path:
    """Return a file's model with unsigned weights; the path where there is nothing to change.

    Without the package onnx the file stays as it is: slower, the same results.
    """
    with opened(path) as file:
        if b"ConvInteger" not in file.read():
            return path
    try:
        import onnx
    except ModuleNotFoundError:
        return path
    model = onnx.load(path)
    if not shift_weights(model.graph):
        return path
    data: bytes = model.SerializeToString()
    return data


def shift_weights(graph: Any) -> int:
    """Make int8 weights of ConvInteger uint8, in place.

    Weights stay that have no zero point in the file, or that others use too.

    Returns:
        How many ConvInteger changed.
    """
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    convolutions = [
        node
        for node in graph.node
        if node.op_type == "ConvInteger"
        and len(node.input) > ZERO_POINT
        and _is_int8(constants.get(node.input[WEIGHTS]))
        and _is_int8(constants.get(node.input[ZERO_POINT]))
    ]
    ours = [node.input[at] for node in convolutions for at in (WEIGHTS, ZERO_POINT)]
    used = [name for node in graph.node for name in node.input]
    names = set(ours)
    if any(used.count(name) != ours.count(name) for name in names):
        return 0
    for name in names:
        values = numpy_helper.to_array(constants[name]).astype(np.int16) + SHIFT
        constants[name].CopyFrom(numpy_helper.from_array(values.astype(np.uint8), name))
    return len(convolutions)


def _is_int8(constant: Any) -> bool:
    from onnx import TensorProto

    return constant is not None and constant.data_type == TensorProto.INT8
