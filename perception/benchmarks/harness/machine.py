"""What measured: this machine in a line, and the commit of this package."""

import os
import platform
import re
import subprocess
from pathlib import Path

import perception
from perception.benchmarks.harness.timed_process import cores
from perception.core.version import __version__

CPU = Path("/proc/cpuinfo")
GPUS = Path("/proc/driver/nvidia/gpus")


def machine() -> str:
    """Return cores, processor, graphics processors and memory, as the system tells them."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return f"{cores()} cores, {_processor()}, {_gpus()}, {memory_gb:.0f} GB"


def commit() -> str:
    """Return the commit of the checkout that this package lies in, its version where there is none.

    A package that is installed below somebody else's repository has a version, not their commit.
    """
    root = Path(perception.__file__).resolve().parents[1]
    command = ["git", "-C", str(root), "rev-parse", "--show-toplevel", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return __version__
    top, short = done.stdout.splitlines()
    return short if Path(top).resolve() == root else __version__


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text(CPU), re.MULTILINE)
    return " ".join((found[1] if found else platform.machine() or "unknown processor").split())


def _gpus() -> str:
    models = [
        found[1]
        for place in sorted(GPUS.glob("*/information"))
        if (found := re.search(r"^Model:\s*(.+)$", _text(place), re.MULTILINE))
    ]
    return ", ".join(models) if models else "no GPU"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
