"""What this machine has: versions, devices, missing system libraries, licences."""

import importlib.metadata
import os
import subprocess
import sys
from dataclasses import dataclass

from perception.commands.request import MAX_LANES
from perception.core.config import ObserveConfig
from perception.core.version import __version__
from perception.execution.memory import FORMULA, working_bytes
from perception.models.backends import choose_backend
from perception.models.remedies import remedy

EXTRAS = {
    "torch": "ultralytics",
    "torchvision": "ultralytics",
    "ultralytics": "ultralytics",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "open3d": "open3d",
    "ray": "ray",
    "pooch": "weights",
    "onnx": "ultralytics",
}
# Packages whose import fails on a bare Debian, and what they need of it.
SYSTEM_PACKAGES = {
    "cv2": "libgl1 libglib2.0-0",
    "open3d": "libusb-1.0-0 libgl1 libegl1 libx11-6 libidn2-0",
}
LICENCE_NOTICE = (
    "ultralytics is AGPL-3.0: what you distribute or serve together with it must be AGPL-3.0 too, "
    "or hold Ultralytics' Enterprise licence"
)


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        name: What was looked at.
        fine: Whether it is as it should be.
        text: What was found, and the fix where it is not fine.
    """

    name: str
    fine: bool
    text: str


def examine() -> tuple[Finding, ...]:
    """Look at the machine; each library is imported in a process of its own."""
    cores = len(os.sched_getaffinity(0))
    found = [
        Finding("driving-perception", True, __version__),
        Finding("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        Finding("cores", True, str(cores)),
    ]
    found += [_package(name, extra) for name, extra in EXTRAS.items()]
    found += [_imports(name) for name in ("cv2", "pycocotools.mask", "open3d")]
    found.append(_device())
    sam = choose_backend("auto", ("openvino", "torch"), "cpu")
    found.append(Finding("SAM runs on", True, f"{sam.name}: {sam.reason}"))
    found.append(Finding("memory of a worker", True, _memory(cores)))
    found.append(Finding("licence", True, LICENCE_NOTICE))
    return tuple(found)


def _memory(cores: int) -> str:
    """Say the bound of a worker's memory, and what it comes to here."""
    lanes, chunk = min(cores, MAX_LANES), ObserveConfig().prompt_chunk
    sizes = ", ".join(
        f"{width} x {height}: {working_bytes(width * height, lanes, chunk) / 1e9:.2f} GB"
        for width, height in ((1242, 375), (3840, 2160))
    )
    return f"{FORMULA}; with {lanes} lanes and chunk {chunk}, beside the models: {sizes}"


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"absent: pip install 'driving-perception[{extra}]'")


def _in_fresh_process(code: str) -> tuple[bool, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else f"exit code {done.returncode}"


def _imports(module: str) -> Finding:
    fine, text = _in_fresh_process(f"import {module}")
    if fine:
        return Finding(f"import {module}", True, "works")
    packages = SYSTEM_PACKAGES.get(module, "")
    if "cannot open shared object" in text and packages:
        fix = f"on Debian or Ubuntu: apt-get install {packages}"
    else:
        fix = remedy(text)
    return Finding(f"import {module}", False, f"{text}; {fix}" if fix else text)


def _device() -> Finding:
    code = (
        "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu')"
    )
    fine, text = _in_fresh_process(code)
    return Finding("device", fine, text)
