"""A nuScenes tree in its exact layout on disk: two cameras, a LiDAR, a radar, two key frames."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

Tables = dict[str, list[dict[str, Any]]]
SIZE_HW = (90, 160)
START_US = 1_532_402_927_600_000


def wxyz(rotation: Rotation) -> list[float]:
    x, y, z, w = rotation.as_quat()
    return [w, x, y, z]


def yaw(degrees: float) -> Rotation:
    return Rotation.from_euler("z", degrees, degrees=True)


# From camera axes (x right, y down, z forward) to the ego's (x forward, y left, z up).
AHEAD = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def _tables() -> Tables:
    """The car drives 10 m/s along the world's x and turns left; the cameras lag the sweep."""
    sensors = {  # nuScenes' LiDAR has x to the right and y ahead
        "LIDAR_TOP": ("lidar", [0.9, 0.0, 1.8], wxyz(yaw(-90)), False),
        "CAM_FRONT": ("camera", [1.7, 0.0, 1.5], wxyz(AHEAD), True),
        "CAM_BACK": ("camera", [0.0, 0.0, 1.5], wxyz(yaw(180) * AHEAD), True),
        "RADAR_FRONT": ("radar", [3.4, 0.0, 0.5], [1.0, 0.0, 0.0, 0.0], False),
    }
    K = [[126.6, 0.0, 79.6], [0.0, 126.6, 44.5], [0.0, 0.0, 1.0]]
    tables: Tables = {
        "sensor": [
            {"token": f"s-{channel}", "channel": channel, "modality": modality}
            for channel, (modality, *_) in sensors.items()
        ],
        "calibrated_sensor": [
            {
                "token": f"c-{channel}",
                "sensor_token": f"s-{channel}",
                "translation": translation,
                "rotation": rotation,
                "camera_intrinsic": K if seen else [],
            }
            for channel, (_, translation, rotation, seen) in sensors.items()
        ],
        "sample": [],
        "sample_data": [],
        "ego_pose": [],
    }
    lags_us = {"LIDAR_TOP": 0, "CAM_FRONT": -35_000, "CAM_BACK": 15_000, "RADAR_FRONT": 5_000}
    for number, sample in enumerate(("bbb", "aaa")):  # time runs against the tokens
        stamp_us = START_US + 500_000 * number
        tables["sample"].append(
            {
                "token": sample,
                "timestamp": stamp_us,
                "scene_token": "scene",
                "prev": "" if number == 0 else "bbb",
                "next": "aaa" if number == 0 else "",
            }
        )
        for channel, lag_us in lags_us.items():
            for key in (True, False):
                ending = "pcd.bin" if channel == "LIDAR_TOP" else "png"
                folder = "samples" if key else "sweeps"
                moment_us = stamp_us + lag_us + (0 if key else 50_000)
                token = f"d-{sample}-{channel}-{int(key)}"
                tables["sample_data"].append(
                    {
                        "token": token,
                        "sample_token": sample,
                        "ego_pose_token": token,
                        "calibrated_sensor_token": f"c-{channel}",
                        "timestamp": moment_us,
                        "fileformat": ending,
                        "is_key_frame": key,
                        "height": SIZE_HW[0] if channel.startswith("CAM") else 0,
                        "width": SIZE_HW[1] if channel.startswith("CAM") else 0,
                        "filename": f"{folder}/{channel}/n015__{channel}__{moment_us}.{ending}",
                        "prev": "",
                        "next": "",
                    }
                )
                seconds = (moment_us - START_US) / 1e6
                tables["ego_pose"].append(
                    {
                        "token": token,
                        "timestamp": moment_us,
                        "rotation": wxyz(yaw(30 + 20 * seconds)),
                        "translation": [1010.0 + 10 * seconds, 610.0, 0.0],
                    }
                )
    return tables


def _write(root: Path, tables: Tables, points: np.ndarray | None = None) -> Path:
    version = root / "v1.0-mini"
    version.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (version / f"{name}.json").write_text(json.dumps(rows, indent=0))
    given = np.array([[0, 12, 0], [1, -8, 0.5], [2, 9, -1.0]]) if points is None else points
    columns = np.column_stack([given, np.zeros((len(given), 2))]).astype("<f4")
    for row in tables["sample_data"]:
        path = root / str(row["filename"])
        if not path.is_relative_to(root) or not row["is_key_frame"] or ".." in path.parts:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if row["fileformat"] == "pcd.bin":
            path.write_bytes(columns.tobytes())
        elif "CAM" in path.name:
            assert cv2.imwrite(str(path), np.full((*SIZE_HW, 3), 40, np.uint8))
    return root


@pytest.fixture
def nuscenes_tables() -> Tables:
    return _tables()


@pytest.fixture(scope="session")
def write_nuscenes() -> Callable[..., Path]:
    return _write
