"""Weights: which files are known, whether a file is what its name says, and how to get one.

Nothing here opens a connection but `pull`. It is called for weights that a person asks for by name:
`perception weights pull NAME`, and `path_of` for names in place of files.
"""

from perception.models.weights.catalogue import (
    FALLBACKS,
    KNOWN,
    RECIPES,
    KnownWeights,
    Recipe,
    by_name,
)
from perception.models.weights.checkpoint import (
    SAFETENSORS,
    beside_tensors,
    names_tensor,
    network_class,
)
from perception.models.weights.checks import (
    CARD,
    UNKNOWN_LICENCE,
    check,
    digest_of,
    identify,
    licence_of,
    require_trusted_pickle,
)
from perception.models.weights.download import pull
from perception.models.weights.named import is_name, path_of
from perception.models.weights.onnx_file import onnx_metadata, onnx_parts
from perception.models.weights.opened import opened, sha256_of

__all__ = [
    "CARD",
    "FALLBACKS",
    "KNOWN",
    "RECIPES",
    "SAFETENSORS",
    "UNKNOWN_LICENCE",
    "KnownWeights",
    "Recipe",
    "beside_tensors",
    "by_name",
    "check",
    "digest_of",
    "identify",
    "is_name",
    "licence_of",
    "names_tensor",
    "network_class",
    "onnx_metadata",
    "onnx_parts",
    "opened",
    "path_of",
    "pull",
    "require_trusted_pickle",
    "sha256_of",
]
