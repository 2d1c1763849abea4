"""What `perception bench` races against: ultralytics' auto_annotate, and the same in OpenVINO.

Both run ultralytics' own code over a folder and write its YOLO segmentation files. As shipped,
auto_annotate ends on cores - 1 threads, since `select_device("cpu")` sets that
(`utils/torch_utils.py`); on all cores it is given that number in place of the constant.
"""

from pathlib import Path
from typing import Any

import yaml

from perception.benchmarks.harness.timed_process import Task
from perception.models.weights import onnx_metadata
from perception_ultralytics.loading import import_yolo

DETECTOR, ENCODER, DECODER = "detector_openvino_model", "encoder.xml", "decoder.xml"


def auto_annotate(task: Task) -> None:
    """Label a folder as ultralytics does; `threads` 0 as shipped."""
    import_yolo("auto_annotate")
    _use_threads(task.threads)
    _annotate(_annotator(), task, task.detector)


def openvino_loop(task: Task) -> None:
    """Label a folder by auto_annotate's loop, detector, encoder and decoder being OpenVINO's.

    Compiled as OpenVINO does by itself: bfloat16 where the processor supports it.
    """
    import_yolo("the OpenVINO loop")
    from ultralytics.models import SAM

    annotator = _annotator()
    _use_threads(task.threads)

    def load(path: str) -> Any:
        sam = SAM(path)
        _put_openvino_into(sam.model, Path(task.prepared), task.threads)
        return sam

    shipped = annotator.SAM
    annotator.SAM = load
    try:
        _annotate(annotator, task, str(Path(task.prepared) / DETECTOR))
    finally:
        annotator.SAM = shipped


def _annotator() -> Any:
    from ultralytics.data import annotator

    return annotator


def _annotate(annotator: Any, task: Task, detector: str) -> None:
    annotator.auto_annotate(
        data=task.images,
        det_model=detector,
        sam_model=task.segmenter,
        device="cpu",
        conf=task.min_score,
        iou=task.nms_iou,
        output_dir=task.out,
    )


def _use_threads(threads: int) -> None:
    if threads:
        from ultralytics.utils import torch_utils

        constants: Any = torch_utils
        constants.NUM_THREADS = threads


def _put_openvino_into(sam: Any, prepared: Path, threads: int) -> None:
    """Have a `SAMModel` compute its encoder and its decoder by OpenVINO."""
    import openvino
    import torch

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    encoder, decoder = (
        core.compile_model(prepared / name, "CPU", settings) for name in (ENCODER, DECODER)
    )

    def encode(pixels: Any) -> Any:
        return torch.from_numpy(encoder([pixels.numpy()])[0].copy())

    def decode(
        image_embeddings: Any,
        image_pe: Any,
        sparse_prompt_embeddings: Any,
        dense_prompt_embeddings: Any,
        multimask_output: bool,
    ) -> Any:
        tensors = (
            image_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            dense_prompt_embeddings.contiguous(),
        )
        found = decoder([tensor.numpy() for tensor in tensors])
        return torch.from_numpy(found[0].copy()), torch.from_numpy(found[1].copy())

    sam.image_encoder.forward = encode
    sam.mask_decoder.forward = decode


def prepare(task: Task) -> None:
    """Convert both models for `openvino_loop`, once, before the race."""
    import_yolo("the OpenVINO loop")
    import openvino
    import torch
    from ultralytics.models import SAM

    prepared = Path(task.prepared)
    _convert_detector(openvino, Path(task.detector), prepared / DETECTOR)
    sam: Any = SAM(task.segmenter).model
    sam.eval()
    trace: Any = torch.jit.trace  # it has no types
    with torch.no_grad():
        square = torch.zeros(1, 3, 1024, 1024)
        # unchecked: a second tracing and three more forward passes would change nothing
        encoder = openvino.convert_model(
            trace(sam.image_encoder, square, strict=False, check_trace=False),
            example_input=square,
            input=[1, 3, 1024, 1024],
        )
        openvino.save_model(encoder, prepared / ENCODER, compress_to_fp16=False)
        decoder = openvino.convert_model(
            _one_mask(sam.mask_decoder),
            example_input=(
                torch.zeros(1, 256, 64, 64),
                torch.zeros(1, 256, 64, 64),
                torch.zeros(3, 2, 256),
                torch.zeros(3, 256, 64, 64),
            ),
            input=[[1, 256, 64, 64], [1, 256, 64, 64], [-1, 2, 256], [-1, 256, 64, 64]],
        )
        openvino.save_model(decoder, prepared / DECODER, compress_to_fp16=False)


def _convert_detector(openvino: Any, path: Path, out: Path) -> None:
    """Write the folder that ultralytics loads as an OpenVINO model."""
    out.mkdir(parents=True)
    openvino.save_model(openvino.convert_model(path), out / "detector.xml", compress_to_fp16=False)
    said = onnx_metadata(path)
    kept: dict[str, Any] = {
        key: yaml.safe_load(said[key]) for key in ("names", "stride", "imgsz") if key in said
    }
    kept |= {"task": "detect", "batch": 1, "channels": 3}
    (out / "metadata.yaml").write_text(yaml.safe_dump(kept))


def _one_mask(decoder: Any) -> Any:
    """Return a module of a mask decoder's single-mask output, which can be traced."""
    import torch

    class OneMask(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, image: Any, grid: Any, sparse: Any, dense: Any) -> Any:
            return self.decoder(image, grid, sparse, dense, False)

    return OneMask().eval()
