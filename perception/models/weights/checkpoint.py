"""What a checkpoint of tensors or of a whole network holds, told without loading it.

A `.pt` file is a zip archive with a pickle in it, which names the classes of what it would build
and the tensors; reading the names runs nothing. A `.safetensors` file begins with the length of a
JSON header, 8 bytes, little-endian, and the header.
"""

import re
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

from perception.models.weights.opened import opened

SAFETENSORS = ".safetensors"
_MAX_HEADER_BYTES = 1 << 26  # names and shapes of the largest SAM take 100 kB
_GLOBAL = re.compile(rb"c([A-Za-z_][\w.]*)\n([A-Za-z_][\w.]*)\n")  # pickle protocol 2, torch.save's
# What a state dict names.
_TENSORS = ("torch._utils.", "torch._tensor.", "collections.", "torch.serialization.")
_STORAGE = re.compile(r"torch\.\w+")
# What may stand beside it in a checkpoint: no network.
_PLAIN = (
    "torch",
    "collections",
    "builtins",
    "__builtin__",
    "numpy",
    "_codecs",
    "pathlib",
    "argparse",
)
_WHOLE = ("torch.nn.modules.", "torch.jit.")


def names_tensor(path: Path, name: str) -> bool | None:
    """Tell whether a checkpoint names a tensor, without torch, whose import takes a second.

    Returns:
        None for files from before torch 1.6, which are no archives.
    """
    header = _safetensors_header(path) if path.suffix == SAFETENSORS else _pickle(path)
    return None if header is None else name.encode() in header


def network_class(path: Path) -> str | None:
    """Return the class of the network that a `.pt` file would build, with its module.

    Returns:
        "" where it holds tensors alone; None where that cannot be told.
    """
    found = _classes(path)
    if found is None:
        return None
    own = [name for name in found if not name.startswith(_PLAIN)]
    return next(iter(own), next((name for name in found if name.startswith(_WHOLE)), ""))


def beside_tensors(path: Path) -> tuple[str, ...]:
    """Return the classes in a `.pt` file that are no tensors, in alphabetical order."""
    found = _classes(path) or []
    others = {n for n in found if not n.startswith(_TENSORS) and not _STORAGE.fullmatch(n)}
    return tuple(sorted(others))


def is_safetensors(path: Path) -> bool:
    """Tell whether a file begins as safetensors do, and is not cut off within its header."""
    return _safetensors_header(path) is not None


def _classes(path: Path) -> list[str] | None:
    """Return the names that a PyTorch archive would import; None for what is none."""
    pickled = None if path.suffix == SAFETENSORS else _pickle(path)
    if pickled is None:
        return None
    return [b".".join(parts).decode() for parts in _GLOBAL.findall(pickled)]


def _pickle(path: Path) -> bytes | None:
    """Return the pickle of a PyTorch archive; None for what is none."""
    with (
        suppress(zipfile.BadZipFile, OSError),
        opened(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        pickles = [entry for entry in archive.namelist() if entry.endswith("/data.pkl")]
        if pickles and archive.getinfo(pickles[0]).file_size <= _MAX_HEADER_BYTES:
            return archive.read(pickles[0])
    return None


def _safetensors_header(path: Path) -> bytes | None:
    with opened(path) as file:
        length = file.read(8)
        if len(length) < 8:
            return None
        (size,) = struct.unpack("<Q", length)
        if not 2 <= size <= _MAX_HEADER_BYTES:
            return None
        header = file.read(size)
    return header if len(header) == size and header.startswith(b"{") else None
