"""Trained weights as ONNX: no pickle, sizes free, numbers stored in half precision."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from perception.core.errors import RequestError
from perception.io import scratch

MIN_HALVED = 1024  # numbers; shorter arrays stay: they save nothing, and shapes must be exact


def export_onnx(weights: Path, out: Path, image_px: int) -> None:
    """Write `out` with free batch, height and width, in about half the bytes of the numbers.

    The arithmetic stays in single precision: each long array of weights is stored as float16 and
    cast back by the runtime when it loads the file. No time stamp: same weights, same bytes.

    Args:
        weights: A .pt file of our own training.
        out: The .onnx file.
        image_px: Longest side that the network was trained with; stands in the file as `imgsz`, and
            `load_detector` looks at images in this size.

    Raises:
        RequestError: `extra.missing`.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"export needs {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    from ultralytics.models import YOLO

    with scratch.folder("export") as place:
        copied = place / "model.pt"  # the exporter writes beside what it reads
        shutil.copyfile(weights, copied)
        exporter: Any = YOLO(str(copied))
        # simplify needs a package that ultralytics would install
        with warnings.catch_warnings():
            # torch says that ultralytics should use its newer exporter
            warnings.simplefilter("ignore", DeprecationWarning)
            made = exporter.export(
                format="onnx", dynamic=True, simplify=False, imgsz=image_px, device="cpu"
            )
        model = onnx.load(made)
    halve(model)
    kept = [entry for entry in model.metadata_props if entry.key != "date"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.checker.check_model(model)
    out.write_bytes(model.SerializeToString(deterministic=True))


def halve(model: Any) -> None:
    """Store the long float32 initialisers of an ONNX model as float16, followed by a Cast."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        if values.size < MIN_HALVED or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
