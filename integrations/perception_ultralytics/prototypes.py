"""A predictor that keeps what masks are made of. Call it after `loading.import_yolo`.

Ultralytics' own predictor draws all masks at once, and drops a box whose mask comes out empty. Here
the boxes stay those of the detector, and a mask is drawn when it is asked for: 300 masks of a large
image would take gigabytes.
"""

from typing import Any

from perception.core.types import Bool


def prototype_predictor() -> Any:
    """Return the class that predicts boxes, with coefficients and prototypes in place of masks."""
    from ultralytics.engine.results import Results
    from ultralytics.models.yolo.segment import SegmentationPredictor
    from ultralytics.utils import ops

    class PrototypePredictor(SegmentationPredictor):
        def construct_result(  # type: ignore[override]  # as ultralytics itself does here
            self, pred: Any, img: Any, orig_img: Any, img_path: str, proto: Any
        ) -> Any:
            model: Any = self.model
            pred[:, :4] = ops.scale_boxes(img.shape[2:], pred[:, :4], orig_img.shape)
            result: Any = Results(orig_img, path=img_path, names=model.names, boxes=pred[:, :6])
            result.coefficients, result.prototypes = pred[:, 6:], proto
            return result

    return PrototypePredictor


def draw_mask(result: Any, row: int) -> Bool:
    """Return the (H, W) mask of one instance: upsampled to the image, then cut at its box."""
    import torch
    from ultralytics.utils import ops

    one = slice(row, row + 1)
    draw: Any = ops.process_mask_native
    with torch.inference_mode():
        mask = draw(
            result.prototypes,
            result.coefficients[one],
            result.boxes.xyxy[one],
            result.orig_shape,
        )[0]
    drawn: Bool = mask.cpu().numpy() > 0
    return drawn
