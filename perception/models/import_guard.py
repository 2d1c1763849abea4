"""Switches that must be set before ultralytics, onnxruntime or OpenVINO is imported, per process.

Without them ultralytics probes the network at import, posts usage, installs packages with pip when
an image cannot be opened, and writes settings to the home folder (see its utils/__init__.py,
utils/checks.py, utils/events.py at 8.4.190), and OpenVINO reports each conversion to Google
Analytics through the package openvino_telemetry (its tools/ovc/telemetry_utils.py at 2026.4.1).
None is imported here: the module lives in the core because several adapters need it.
"""

import os
import sys

from perception.core.errors import RequestError
from perception.io import scratch

SWITCHES = {
    "YOLO_OFFLINE": "True",
    "YOLO_AUTOINSTALL": "False",
    "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
    "ULTRALYTICS_SAFE_LOAD": "1",  # a .pt brings no classes but torch's and ultralytics' own
    "YOLO_VERBOSE": "False",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.31 has it on, also on Linux, from C++
}


def harden() -> None:
    """Set the switches and give this process a private settings folder, removed at exit.

    Raises:
        RequestError: `security.bootstrap` if one of them was imported before.
    """
    if os.environ.get("_PERCEPTION_HARDENED_PID") == str(os.getpid()):
        return
    early = next((name for name in ("ultralytics", "openvino") if name in sys.modules), "")
    if early:
        raise RequestError(
            "security.bootstrap",
            f"{early} was imported before its network and telemetry switches were set; "
            "import it after the model of this package is loaded",
        )
    # Its import now fails, and OpenVINO then takes the stub that it brings for that case.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    folder = scratch.make("yolo")
    os.environ.update(SWITCHES)
    # One folder per process: ultralytics' settings.json races between processes.
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    os.environ["MPLCONFIGDIR"] = str(folder)
    os.environ["_PERCEPTION_HARDENED_PID"] = str(os.getpid())


def refuse_compromised(version: str) -> None:
    """Raise `security.version` for the four releases on PyPI that carried a miner."""
    if version in {"8.3.41", "8.3.42", "8.3.45", "8.3.46"}:
        raise RequestError(
            "security.version",
            f"ultralytics {version} was published with malicious code (ultralytics#18027); "
            "install 8.4.154 or newer",
        )
