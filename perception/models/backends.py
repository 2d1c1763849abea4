"""Which backend computes a model, how precisely, and where compiled networks are kept."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from perception.core.choices import Mode, Precision
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.io.files import TEMPORARY, write_bytes
from perception.models.capabilities import Capabilities

# Of all compiled networks together. An encoder of MobileSAM takes 28 MB, of SAM's ViT-H 2.5 GB.
CACHE_BYTES = 4 << 30
WRITTEN_NS = 3600 * 10**9  # a temporary file that is younger belongs to somebody who writes it
# What bfloat16 a mode takes by itself: bf16 computes both networks of SAM in it, mixed only the
# encoder: the decoder, which loses most by it, takes a small part of the time. Mode exact stays in
# fp32, equal to the reference, and so does every mode where the processor has no bfloat16.
BY_MODE: dict[Mode, Precision] = {"detail": "mixed", "exact": "fp32", "fast": "bf16"}


@dataclass(frozen=True)
class BackendChoice:
    """A backend and why it was chosen, for `doctor`."""

    name: str
    reason: str


def choose_backend(
    asked: str, backends: Collection[str], device: str, option: str = "--backend"
) -> BackendChoice:
    """Choose what computes a model: OpenVINO on a CPU where it is installed, about twice as fast.

    Args:
        asked: One of `backends`, or "auto".
        backends: What the model's adapter has, see `Capabilities`; "auto" stays where it has none.
        device: As in `observe.device`.
        option: What people say it with, for messages.

    Raises:
        RequestError: `extra.missing`, `config.invalid` for what was asked for and cannot be had.
    """
    installed = find_spec("openvino") is not None
    if asked == "auto":
        others = [name for name in backends if name != "openvino"]
        if not backends:
            return BackendChoice(asked, "this model has no choice")
        if "openvino" not in backends:
            return BackendChoice(others[0], "this model has no other")
        if device != "cpu":
            return BackendChoice(others[0], f"the device is {device}")
        if not installed:
            return BackendChoice(others[0], "openvino, which is faster, is not installed")
        return BackendChoice("openvino", "a CPU, and openvino is installed")
    if asked not in backends:
        expected = f"auto or {' or '.join(backends)}" if backends else "auto: it has no choice"
        raise RequestError(
            "config.invalid", f"{option} {asked}: this model is not computed by it; use {expected}"
        )
    if asked == "openvino" and device != "cpu":
        raise RequestError(
            "config.invalid", f"{option} openvino runs on the CPU, the device is {device}"
        )
    if asked == "openvino" and not installed:
        raise RequestError(
            "extra.missing",
            f"{option} openvino: not installed: pip install 'driving-perception[openvino]'",
        )
    return BackendChoice(asked, "asked for")


def detector_resolved(config: ObserveConfig, can: Capabilities) -> ObserveConfig:
    """Fix `detect_backend`: the boxes depend on it; raises as `choose_backend`."""
    asked, option = config.detect_backend, "--detect-backend"
    chosen = choose_backend(asked, can.backends, config.device, option).name
    return config.model_copy(update={"detect_backend": chosen})


def segmenter_resolved(config: ObserveConfig, can: Capabilities) -> ObserveConfig:
    """Fix what computes a segmenter, and how precisely: the last bits depend on it.

    Raises:
        RequestError: as `choose_backend`; `precision.unavailable`.
    """
    backend = choose_backend(config.backend, can.backends, config.device).name
    offered = can.backends.get(backend, ())
    precision = config.precision
    if precision == "auto" and offered:
        precision = BY_MODE[config.mode] if has_bf16() else "fp32"
        precision = precision if precision in offered else "fp32"
    elif precision != "auto" and precision not in offered:
        raise RequestError(
            "precision.unavailable",
            f"--precision {precision}: {backend} computes this model in "
            f"{' or '.join(offered) or 'one precision, which cannot be chosen'}",
        )
    return config.model_copy(update={"backend": backend, "precision": precision})


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


def kept_file(weights_sha256: str, described: dict[str, Any]) -> Path | None:
    """Return where a compiled network is kept; None where nothing is kept.

    Args:
        weights_sha256: Of the weights that it was made of.
        described: What its bytes depend on besides: not the threads and streams that it runs with,
            which are chosen when it is read.
    """
    base = cache_folder()
    if base is None:
        return None
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return base / f"net-{weights_sha256[:16]}" / f"{digest[:32]}.blob"


def read_kept(core: Any, kept: Path | None, options: dict[str, Any]) -> Any:
    """Return the network that is kept, or None.

    Args:
        core: OpenVINO's.
        kept: See `kept_file`.
        options: What it runs with.
    """
    if kept is None:
        return None
    try:
        compiled = core.import_model(kept.read_bytes(), "CPU", options)
        mark_used(kept)
        return compiled
    except FileNotFoundError:  # never kept, or removed to make room
        return None
    except RuntimeError as error:  # torn, or of another build: it is made again
        logging.getLogger(__name__).warning("%s: made again: %s", kept, error)
        return None


def keep(compiled: Any, kept: Path | None) -> None:
    """Keep a network for the next process; the least recently used make room."""
    if kept is None:
        return
    try:
        data = compiled.export_model()
        write_bytes(kept, data if isinstance(data, bytes) else data.getvalue())
        trim_cache(kept.parent.parent)
    except OSError as error:  # a cache that cannot be written costs time, not results
        logging.getLogger(__name__).warning("%s: not kept: %s", kept, error)


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
    for path in folder.glob("*-*/*"):  # 0.2.0 named them sam-*
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
