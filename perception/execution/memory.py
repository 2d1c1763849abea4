"""What a worker needs in memory beside its models: a bound that no number of samples moves."""

from perception.execution.ahead import AHEAD

BYTES_PX = 3  # of an image, 8 bit RGB
LOGIT_BYTES = 4
# Samples beside those that the models see: one that waits for its turn or is finished after it, one
# that is handed on, one whose preview is drawn.
IN_HAND = 3
# Images and sweeps that a shard keeps for its previews, of a run's first samples; two shards are in
# hand.
KEPT_BYTES = 64_000_000
FORMULA = "models + (6 + lanes) x 3 B x pixels + lanes x chunk x 4 B x pixels + 128 MB"


def working_bytes(pixels: int, lanes: int, prompt_chunk: int) -> int:
    """Return what a worker holds at most for images of a size.

    Samples that were read ahead, that the models see or that will be drawn, and masks before they
    are run-lengths. In the usual case masks take far less: only the part of the image where they
    can be.

    Args:
        pixels: Of all images of a sample together.
        lanes: Samples looked at side by side.
        prompt_chunk: Boxes decoded together.
    """
    samples = (AHEAD + IN_HAND + lanes) * BYTES_PX * pixels + 2 * KEPT_BYTES
    return samples + lanes * prompt_chunk * LOGIT_BYTES * pixels
