"""Whether a weights file is what its name says: its digest, its licence, and what damages it.

A `.pt` file is a pickle, that is, code: what loads one asks `require_trusted_pickle` first.
"""

import hashlib
import zipfile
from pathlib import Path

from perception.core.errors import RequestError
from perception.io.json_files import read_json
from perception.models.weights import catalogue
from perception.models.weights.catalogue import KnownWeights, by_file_name, by_hash
from perception.models.weights.checkpoint import SAFETENSORS, is_safetensors
from perception.models.weights.onnx_file import external_files
from perception.models.weights.opened import opened, sha256_of

CARD = "card.json"  # beside the weights that `perception train` makes
UNKNOWN_LICENCE = "unknown"
_MAX_CARD_BYTES = 1 << 20
_MAX_LICENCE = 100  # characters: an SPDX expression


def digest_of(path: Path) -> str:
    """Return what stands for weights in a run: the sha256 of the file.

    Of an ONNX file that keeps tensors in files beside it, a sha256 over the hashes of all of them.

    Raises:
        RequestError: as `external_files`.
    """
    own = sha256_of(path)
    others = external_files(path) if path.suffix == ".onnx" else ()
    if not others:
        return own
    parts = [own, *(f"{file.name} {sha256_of(file)}" for file in others)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def identify(path: Path) -> KnownWeights | None:
    """Return what the file is, by its hash; None for a file that nobody published here."""
    return by_hash(sha256_of(path))


def licence_of(path: Path, sha256: str) -> str:
    """Return the licence of a weights file, "unknown" where nobody states it.

    Published files have theirs in `KNOWN`. What `perception train` makes has it in the card.json
    beside it, which counts if it names these very bytes; a card from elsewhere says nothing.

    Args:
        path: The file.
        sha256: Of the file.
    """
    known = by_hash(sha256)
    if known:
        return known.licence
    try:
        card = read_json(path.parent / CARD, "weights.invalid", limit=_MAX_CARD_BYTES)
    except RequestError:
        return UNKNOWN_LICENCE
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), dict):
        return UNKNOWN_LICENCE
    stated = card.get("licence")
    if sha256 not in card["sha256"].values() or not isinstance(stated, str):
        return UNKNOWN_LICENCE
    plain = 0 < len(stated) <= _MAX_LICENCE and stated.isprintable()
    return stated if plain else UNKNOWN_LICENCE


def check(path: Path) -> str:
    """Make sure, before anything loads it, that a weights file is there and whole.

    Files that are not in the table pass if they look like weights: people train their own.

    Returns:
        Its digest, see `digest_of`.

    Raises:
        RequestError: `weights.missing`, with the path, the expected hash and the command that gets
            it; `weights.corrupt` for a web page, a Git LFS pointer or half a download;
            `weights.invalid` for a damaged ONNX file.
    """
    published = by_file_name(path)
    if not path.is_file():
        raise RequestError("weights.missing", f"{path.absolute()}: no such file; {_advice(path)}")
    sha256 = sha256_of(path)
    fault = "" if by_hash(sha256) else _damage(path, published)
    if fault:
        raise RequestError(
            "weights.corrupt",
            f"{path.absolute()}: {fault}; its sha256 is {sha256}. Delete it, then: {_advice(path)}",
        )
    return digest_of(path)


def _advice(path: Path) -> str:
    published = by_file_name(path)
    if published is None:
        names = ", ".join(known.name for known in catalogue.KNOWN)
        return f"give a file that exists, or get one with `perception weights pull NAME` ({names})"
    return (
        f"expected {published.size_bytes} bytes with sha256 {published.sha256}; "
        f"get it with `perception weights pull {published.name}`"
    )


def _damage(path: Path, published: KnownWeights | None) -> str:
    """Say what is wrong with a file of unknown hash; "" if it could be weights."""
    if path.suffix == SAFETENSORS and is_safetensors(path):
        return ""
    with opened(path) as file:
        head = file.read(64)
        is_zip = zipfile.is_zipfile(file)  # the directory of a zip file is at its end
    if head.startswith(b"PK\x03\x04"):
        if not is_zip:
            return "is cut off"
        # Only under a published name: who trains weights may save them without checksums.
        return "has damaged contents" if published and not _checksums_agree(path) else ""
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not weights"
    legacy_pickle = len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    onnx = path.suffix == ".onnx" and head[:1] == b"\x08"  # protobuf field 1: ir_version
    if legacy_pickle or onnx:
        return ""
    return f"is neither a PyTorch, an ONNX nor a safetensors file, it starts with {head[:8]!r}"


def _checksums_agree(path: Path) -> bool:
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
        return False


def require_trusted_pickle(path: Path, trust: bool) -> None:
    """Refuse to let a pickled file be loaded unless it is known, or a person vouches for it.

    Args:
        path: The `.pt` file.
        trust: Whether the person passed --trust-weights.

    Raises:
        RequestError: `weights.untrusted`, besides those of `check`.
    """
    sha256 = check(path)
    if trust or by_hash(sha256) is not None:
        return
    raise RequestError(
        "weights.untrusted",
        f"{path.absolute()}: a .pt file is code that runs when it is loaded, and this one "
        f"(sha256 {sha256}) is not among the known weights; if you trust who made it, "
        "pass --trust-weights",
    )
