"""The car's sensors: where they sit and how they look.

Frame of the ego: x forward, y left, z up, origin on the road under KITTI's camera 0. The rectified
frame of camera 0 is exactly level, so that 3D boxes stand upright in it.
"""

from dataclasses import dataclass

import numpy as np

from perception.core.geometry import inverse, rigid
from perception.core.types import Camera, Float64

FOCAL_PX, CENTRE_PX, KITTI_HW = 721.5377, (609.5593, 172.854), (375, 1242)
CAMERA_HEIGHT_M = 1.65
LIDAR_M = (-0.27, 0.0, 2.1)  # 0.45 m above the cameras: parallax over roofs
LIDAR_TURN_RAD = (0.002, -0.006, 0.004)  # about x, y, z: no mounting is perfect
RECTIFY_RAD = (0.003, 0.009, -0.002)
CAMERAS_Y_M = (0.0, -0.537, 0.06, -0.473)  # of KITTI's cameras 0 to 3, left of camera 0
TURN_S = 0.1  # of the LiDAR
RING_DEG = {  # nuScenes' names and where they look, to the left of ahead
    "CAM_FRONT": 0.0,
    "CAM_FRONT_LEFT": 60.0,
    "CAM_BACK_LEFT": 120.0,
    "CAM_BACK": 180.0,
    "CAM_BACK_RIGHT": -120.0,
    "CAM_FRONT_RIGHT": -60.0,
}
RING_FOCAL_PX, RING_HW, RING_RADIUS_M = 560.0, (540, 960), 0.3
CAM_FROM_EGO = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])


@dataclass(frozen=True, eq=False)
class RigCamera:
    """A pinhole camera on the car.

    Attributes:
        name: Unique in the rig.
        size_hw: Height and width in pixels.
        K: (3, 3) intrinsics, pixels; pixel centres at integers.
        T_cam_from_ego: (4, 4), metres, both at the moment of the picture.
        delay_s: Moment of the picture less that of the sweep; whole microseconds.
    """

    name: str
    size_hw: tuple[int, int]
    K: Float64
    T_cam_from_ego: Float64
    delay_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Rig:
    """All sensors.

    Attributes:
        cameras: The cameras; the first looks forward.
        T_ego_from_lidar: (4, 4), metres.
    """

    cameras: tuple[RigCamera, ...]
    T_ego_from_lidar: Float64

    def calibrated(self, row: int, T_then_from_now: Float64) -> Camera:
        """Return one camera as the rest of the project knows it.

        Args:
            row: Of `cameras`.
            T_then_from_now: (4, 4) from the ego at the sweep to the ego at the picture.
        """
        camera = self.cameras[row]
        T_cam_from_lidar = camera.T_cam_from_ego @ T_then_from_now @ self.T_ego_from_lidar
        return Camera(camera.name, camera.K, T_cam_from_lidar, time_gap_s=camera.delay_s)


def _turn(angles_rad: tuple[float, float, float]) -> Float64:
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float64)


T_RECT_FROM_EGO = rigid(CAM_FROM_EGO, CAM_FROM_EGO @ [0.0, 0.0, -CAMERA_HEIGHT_M])
T_EGO_FROM_LIDAR = rigid(_turn(LIDAR_TURN_RAD), np.array(LIDAR_M))
T_EGO_FROM_IMU = rigid(np.eye(3), np.array([-1.1, 0.3, 0.93]))


def kitti_calibration() -> dict[str, Float64]:
    """Return the entries of a KITTI calibration file, in its order."""
    K = np.array([[FOCAL_PX, 0, CENTRE_PX[0]], [0, FOCAL_PX, CENTRE_PX[1]], [0, 0, 1.0]])
    entries = {}
    for number, y_m in enumerate(CAMERAS_Y_M):
        # a camera to the left sees things further to the right
        entries[f"P{number}"] = np.column_stack([K, K @ [y_m, 0.0, 0.0]])
    entries["R0_rect"] = _turn(RECTIFY_RAD)
    T_ref_from_rect = rigid(entries["R0_rect"].T, np.zeros(3))
    T_ref_from_lidar = T_ref_from_rect @ T_RECT_FROM_EGO @ T_EGO_FROM_LIDAR
    entries["Tr_velo_to_cam"] = T_ref_from_lidar[:3]
    entries["Tr_imu_to_velo"] = (np.linalg.inv(T_EGO_FROM_LIDAR) @ T_EGO_FROM_IMU)[:3]
    return entries


def kitti_rig() -> Rig:
    """Return KITTI's left colour camera (1242 x 375) and a LiDAR on the roof."""
    P = kitti_calibration()["P2"]
    K = P[:, :3]
    shift_m: Float64 = np.linalg.solve(K, P[:, 3]).astype(np.float64)
    T_cam_from_rect = rigid(np.eye(3), shift_m)
    camera = RigCamera("image_2", KITTI_HW, K, T_cam_from_rect @ T_RECT_FROM_EGO)
    return Rig((camera,), T_EGO_FROM_LIDAR)


def ring_rig() -> Rig:
    """Return six cameras (960 x 540) round the car and the same LiDAR.

    As in nuScenes, a camera looks when the LiDAR turns past it, clockwise from behind: what moves
    is then in the picture where the beams met it.
    """
    height, width = RING_HW
    K = np.array(
        [
            [RING_FOCAL_PX, 0, (width - 1) / 2],
            [0, RING_FOCAL_PX, (height - 1) / 2],
            [0, 0, 1.0],
        ]
    )
    cameras = []
    for name, degrees in RING_DEG.items():
        R = _turn((0.0, 0.0, float(np.deg2rad(degrees))))
        centre = R @ [RING_RADIUS_M, 0.0, 0.0] + [0.0, 0.0, CAMERA_HEIGHT_M]
        T_cam_from_mount = rigid(CAM_FROM_EGO, np.zeros(3))
        T_cam_from_ego = T_cam_from_mount @ inverse(rigid(R, centre))
        delay_s = round(-degrees / 360 * TURN_S, 6)
        cameras.append(RigCamera(name, RING_HW, K, T_cam_from_ego, delay_s))
    return Rig(tuple(cameras), T_EGO_FROM_LIDAR)


RIGS = {1: kitti_rig, 6: ring_rig}  # by the number of cameras
