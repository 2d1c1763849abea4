"""A predictor that keeps what masks are made of. Import it after `loading.import_yolo`.

Ultralytics' own predictor draws all masks at once, and drops a box whose mask comes out empty. Here
the boxes stay those of the detector, and a mask is drawn when it is asked for: 300 masks of a large
image would take gigabytes.
"""

from typing import Any

import torch
from ultralytics.engine.results import Results
from ultralytics.models.yolo.segment import SegmentationPredictor
from ultralytics.utils import ops

from perception.types import Bool


class PrototypePredictor(SegmentationPredictor):
    """Predicts boxes, with coefficients and prototypes in place of masks."""

    def construct_result(  # type: ignore[override]  # as ultralytics itself does here
        self, pred: Any, img: Any, orig_img: Any, img_path: str, proto: Any
    ) -> Any:
        """Return the boxes in pixels of the image; `coefficients` and `prototypes` are added."""
        model: Any = self.model
        pred[:, :4] = ops.scale_boxes(img.shape[2:], pred[:, :4], orig_img.shape)
        result: Any = Results(orig_img, path=img_path, names=model.names, boxes=pred[:, :6])
        result.coefficients, result.prototypes = pred[:, 6:], proto
        return result


def draw_mask(result: Any, row: int) -> Bool:
    """Return the (H, W) mask of one instance: upsampled to the image, then cut at its box."""
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
