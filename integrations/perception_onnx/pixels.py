"""The input that a network takes: sizes, order of axes and type of numbers."""

from dataclasses import dataclass

import numpy as np

from perception.core.errors import RequestError
from perception.core.types import UInt8
from perception_onnx.sessions import DTYPES, Batch, Port, Session

CHANNELS = 3
# Second inputs by which exporters are known.
_SIZES_OF_DETR = {"orig_target_sizes", "orig_target_size", "target_sizes", "original_size"}
_SIZES_OF_PADDLE = {"scale_factor", "im_shape", "img_shape"}


@dataclass(frozen=True)
class Input:
    """The input of a network.

    Attributes:
        batch: Pictures at a time.
        size_hw: Height and width; None where any will do.
        channels_last: (batch, h, w, 3) in place of (batch, 3, h, w).
        whole: Numbers are integers from 0 to 255, and the network scales them.
    """

    batch: int
    size_hw: tuple[int, int] | None
    channels_last: bool
    whole: bool

    def pack(self, canvas_rgb: UInt8, raw_bgr: bool) -> Batch:
        """Return pixels as the network takes them; more than one picture at a time are all this.

        Args:
            canvas_rgb: (h, w, 3).
            raw_bgr: Blue, green, red from 0 to 255 in place of red, green, blue from 0 to 1.
        """
        canvas = canvas_rgb[..., ::-1] if raw_bgr else canvas_rgb
        pixels = canvas if self.channels_last else canvas.transpose(2, 0, 1)
        if self.whole:
            scaled: Batch = np.ascontiguousarray(pixels)
        elif raw_bgr:
            scaled = pixels.astype(np.float32)
        else:
            scaled = np.asarray(pixels / np.float32(255), np.float32)
        return scaled[None] if self.batch == 1 else np.repeat(scaled[None], self.batch, axis=0)


def read_input(session: Session, where: str) -> Input:
    """Return what input a network takes.

    Raises:
        RequestError: `weights.invalid` for what is no colour picture, and for more inputs than one.
    """
    asked = session.inputs
    if len(asked) != 1:
        raise RequestError("weights.invalid", f"{where}: {_inputs(asked)}")
    port, shape = asked[0], asked[0].shape
    four = len(shape) == 4 and (shape[0] or 1) > 0
    channels_last = four and shape[3] == CHANNELS and shape[1] != CHANNELS
    if not (channels_last or (four and shape[1] in {CHANNELS, None})):
        grey = four and 1 in {shape[1], shape[3]}
        more = "; it sees grey pictures only" if grey else ""
        raise RequestError(
            "weights.invalid",
            f"{where}: its input is {port}, expected pixels (batch, 3, height, width) or "
            f"(batch, height, width, 3){more}",
        )
    if port.kind not in DTYPES:
        raise RequestError(
            "weights.invalid",
            f"{where}: its input {port} takes {port.kind}, expected 16, 32 or 64 bit floats or "
            "uint8",
        )
    height, width = shape[1:3] if channels_last else shape[2:]
    if (height is None) != (width is None):
        raise RequestError(
            "weights.invalid",
            f"{where}: its input is {port}: one side is free, expected both or none",
        )
    return Input(
        batch=shape[0] or 1,
        size_hw=None if height is None or width is None else (height, width),
        channels_last=channels_last,
        whole=DTYPES[port.kind] is np.uint8,
    )


def _inputs(asked: tuple[Port, ...]) -> str:
    names = {port.name for port in asked}
    listed = ", ".join(map(str, asked)) or "none"
    if names & _SIZES_OF_DETR:
        return f"is a DETR export (inputs {listed}); DETR exports are not read yet"
    if names & _SIZES_OF_PADDLE:
        return f"is a PaddleDetection export (inputs {listed}), which is not read"
    return f"has the inputs {listed}, expected one of pixels"


def probe_picture(size_hw: tuple[int, int]) -> UInt8:
    """Return (h, w, 3) pixels to try a network on: slopes, stripes and a few bright boxes."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width]
    picture = np.stack(
        [x * 255 // width, y * 255 // height, (x // 16 + y // 16) % 2 * 96 + 64], axis=-1
    ).astype(np.uint8)
    for top, left, rows, columns, colour in (
        (0.2, 0.1, 0.3, 0.4, (230, 230, 230)),
        (0.55, 0.5, 0.35, 0.2, (30, 40, 160)),
        (0.4, 0.75, 0.1, 0.15, (200, 30, 30)),
    ):
        y0, x0 = int(top * height), int(left * width)
        picture[y0 : y0 + int(rows * height), x0 : x0 + int(columns * width)] = colour
    return picture
