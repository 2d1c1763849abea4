"""Capabilities of SAM and SAM 2."""

from pathlib import Path

from perception.models.capabilities import Capabilities
from perception.models.weights import names_tensor
from perception_sam.architecture import HIERA_KEY

PROMPTS = ("box", "point")
SAM = Capabilities(
    backends={"openvino": ("fp32", "mixed", "bf16"), "torch": ("fp32",)},
    lanes=("openvino",),
    prompts=PROMPTS,
)
SAM2 = Capabilities(backends={"torch": ("fp32",)}, prompts=PROMPTS)


def capabilities(path: Path) -> Capabilities:
    """Tell SAM, of which MobileSAM is one, from SAM 2 by the tensors that a checkpoint names."""
    return SAM2 if names_tensor(path, HIERA_KEY) else SAM
