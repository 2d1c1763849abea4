"""Which engine computes a SAM checkpoint, how precisely, and where compiled networks are kept."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from perception.core.config import Mode, ObserveConfig, Precision
from perception.core.errors import RequestError
from perception.io.files import TEMPORARY

# Of all compiled networks together. An encoder of MobileSAM takes 28 MB, of SAM's ViT-H 2.5 GB.
CACHE_BYTES = 4 << 30
WRITTEN_NS = 3600 * 10**9  # a temporary file that is younger belongs to somebody who writes it
BY_MODE: dict[Mode, Precision] = {"detail": "mixed", "exact": "fp32", "fast": "bf16"}


@dataclass(frozen=True)
class Inference:
    """An engine and why it was chosen, for `doctor`."""

    engine: str
    reason: str


def choose_inference(config: ObserveConfig) -> Inference:
    """Resolve `observe.inference`.

    Raises:
        RequestError: `extra.missing`, `config.invalid` for what was asked for and cannot be had.
    """
    on_cpu = config.device == "cpu"
    installed = find_spec("openvino") is not None
    if config.inference == "auto":
        if not on_cpu:
            return Inference("torch", f"device is {config.device}: PyTorch")
        if not installed:
            return Inference("torch", "openvino is not installed: PyTorch, 3 times slower on a CPU")
        return Inference("openvino", "a CPU, and openvino is installed")
    if config.inference == "openvino":
        if not installed:
            raise RequestError(
                "extra.missing",
                "--inference openvino: not installed: pip install 'driving-perception[openvino]'",
            )
        if not on_cpu:
            raise RequestError(
                "config.invalid",
                f"--inference openvino runs on the CPU, device is {config.device}: use torch",
            )
    return Inference(config.inference, "asked for")


def choose_precision(config: ObserveConfig) -> str:
    """Resolve `observe.precision`: what bfloat16 a mode takes by itself, in OpenVINO.

    bf16 computes both networks in it, mixed only the encoder: the decoder, which loses most by it,
    takes a small part of the time. Mode exact stays in fp32, equal to the reference, and so does
    every mode where the processor has no bfloat16.
    """
    if config.precision != "auto":
        return config.precision
    if choose_inference(config).engine != "openvino" or not has_bf16():
        return "fp32"
    return BY_MODE[config.mode]


def has_bf16() -> bool:
    """Tell whether the processor multiplies bfloat16; False where Linux does not say so."""
    told = Path("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)$", told.read_text(), re.M) if told.is_file() else None
    return flags is not None and not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags[1].split())


def cache_folder() -> Path | None:
    """Return where compiled networks are kept between runs; None where PERCEPTION_CACHE=off.

    $XDG_CACHE_HOME/driving-perception, by default in ~/.cache (XDG base directory specification).
    """
    if os.environ.get("PERCEPTION_CACHE") == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "driving-perception"


def mark_used(path: Path) -> None:
    """Make a kept file the last used one; another process may have removed it."""
    with suppress(OSError):
        os.utime(path)


def trim_cache(folder: Path, most_bytes: int = CACHE_BYTES) -> None:
    """Remove the networks that were used longest ago, until the others take no more than that.

    Several processes may trim, read and write the same folder: who has opened a file can read it to
    its end, and what is gone is compiled again. The last used one stays, however large.

    Args:
        folder: See `cache_folder`.
        most_bytes: What may stay.
    """
    kept: list[tuple[int, int, Path]] = []  # when it was used, bytes, file
    for path in folder.glob("sam-*/*"):
        with suppress(OSError):  # removed meanwhile by another process
            about = path.stat()
            kept.append((about.st_mtime_ns, about.st_size, path))
    kept.sort(reverse=True)
    total = 0
    for place, (used_ns, size, path) in enumerate(kept):
        total += size
        is_written = path.name.startswith(TEMPORARY) and kept[0][0] - used_ns < WRITTEN_NS
        if place and total > most_bytes and not is_written:
            with suppress(OSError):
                path.unlink()
