"""`perception segment`: one image, any prompt."""

from pathlib import Path
from typing import Literal

from perception.cli.terminal import FINE, AsJson, Flag, say
from perception.core.choices import Backend


def segment(
    image: Path,
    *,
    segmenter: str,
    out: Path,
    box: list[str] | None = None,
    point: list[str] | None = None,
    everything: Flag = False,
    masks_each: Literal[1, 3] = 1,
    cutout: Flag = False,
    points_per_side: int | None = None,
    min_predicted_iou: float | None = None,
    min_stability: float | None = None,
    min_region_px: int | None = None,
    device: str = "cpu",
    threads: int = 0,
    backend: Backend = "auto",
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Segment one image from boxes, points, or everything: overlay, COCO masks, cut-outs.

    perception segment street.png --segmenter mobile_sam.pt --box 387,181,424,203 --out cars
    perception segment street.png --segmenter mobile_sam.pt --point 1:600,200 --point 1:640,210,0
    --point 2:90,250 --out two --cutout

    Args:
        image: JPEG, PNG, BMP or WebP.
        segmenter: A SAM checkpoint.
        out: Folder for overlay.png, masks.json and cutout-NNN.png; must not hold anything.
        box: x0,y0,x1,y1 in pixels; each is an object, numbered from 1. Give it repeatedly.
        point: [OBJECT:]x,y[,LABEL]: LABEL 1 is on the object (default), 0 is not. Without OBJECT
            it belongs to object 1; with several boxes OBJECT has to be said. Give it repeatedly.
        everything: In place of prompts: whatever a grid of points finds.
        masks_each: 1, or 3: a whole, a part, and a part of that.
        cutout: Write each object as a transparent PNG.
        points_per_side: With --everything: of the grid (32).
        min_predicted_iou: With --everything: less sure masks go (0.88).
        min_stability: With --everything: less stable masks go (0.95).
        min_region_px: With --everything: smaller holes and islands go (0: all stay).
        device: cpu, cuda:0, ...
        threads: 0 for all cores.
        backend: auto, openvino or torch.
        overwrite: Discard what an earlier call wrote into OUT.
        as_json: Print one JSON object for programs.
    """
    from perception.cli.terminal import nested
    from perception.commands.segment import SegmentRequest, parse_prompts
    from perception.commands.segment import segment as run
    from perception.core.config import EverythingConfig, ObserveConfig, parse_settings

    asked = nested(
        {
            "points_per_side": points_per_side,
            "min_predicted_iou": min_predicted_iou,
            "min_stability": min_stability,
            "min_region_px": min_region_px,
        }
    )
    observe = {"device": device, "threads": threads, "backend": backend}
    rows = run(
        SegmentRequest(
            image,
            segmenter,
            out,
            parse_prompts(box or [], point or []),
            parse_settings(EverythingConfig, asked, "options") if everything or asked else None,
            masks_each,
            cutout,
            parse_settings(ObserveConfig, observe, "options"),
            overwrite,
        )
    )
    lines = [
        f"{row['instance_id']:3}  object {row['object']}: {row['area_px']} px, predicted IoU "
        f"{row['predicted_iou']:.2f}, stability {row['stability']:.2f}"
        + ("" if row["area_px"] else ": nothing was found")
        for row in rows
    ]
    value = {"out": str(out), "masks": rows}
    say(value, as_json, [*lines, f"{len(rows)} masks; see {out / 'overlay.png'}"])
    return FINE
