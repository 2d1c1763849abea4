"""How far a run's boxes lie from its points, by camera: is the calibration right?

A shard states sums over its pictures, since what a run has in all is summed up over shards. Sums
are whole numbers, in tenths of a pixel.
"""

from dataclasses import dataclass

from perception.core.types import PictureLabels
from perception.runs.shards import Tallies

PICTURES, ALARMS = "offset_pictures", "offset_alarms"
RIGHT, DOWN = "offset_right_tenths_px", "offset_down_tenths_px"


@dataclass(frozen=True)
class CameraOffset:
    """The offset of one camera's boxes.

    Attributes:
        camera: Name of the camera.
        pictures: How many could be judged.
        alarms: How many of them speak of a wrong calibration.
        right_px: Mean over the pictures, to the right.
        down_px: The same, downwards.
    """

    camera: str
    pictures: int
    alarms: int
    right_px: float
    down_px: float

    @property
    def is_off(self) -> bool:
        """Whether most pictures speak of a wrong calibration."""
        return 2 * self.alarms > self.pictures

    def text(self) -> str:
        """Return a line for people."""
        sideways = "right" if self.right_px >= 0 else "left"
        upright = "down" if self.down_px >= 0 else "up"
        line = (
            f"{self.camera or 'camera'}: boxes lie {abs(self.right_px):.1f} px {sideways} and "
            f"{abs(self.down_px):.1f} px {upright} of their points ({self.pictures} pictures, "
            f"{self.alarms} alarms)"
        )
        return f"{line}: check calibration and time stamps" if self.is_off else line


def tally(picture: PictureLabels) -> Tallies:
    """Return what one picture adds to the sums; nothing if it was not judged."""
    offset, camera = picture.offset, picture.camera
    if not offset.objects:
        return {}
    return {
        PICTURES: {camera: 1},
        ALARMS: {camera: int(offset.alarm)},
        RIGHT: {camera: round(10 * offset.right_px)},
        DOWN: {camera: round(10 * offset.down_px)},
    }


def camera_offsets(tallies: Tallies) -> tuple[CameraOffset, ...]:
    """Return the offsets that sums state, by name of the camera."""
    return tuple(
        CameraOffset(
            camera=camera,
            pictures=pictures,
            alarms=tallies.get(ALARMS, {}).get(camera, 0),
            right_px=tallies.get(RIGHT, {}).get(camera, 0) / 10 / pictures,
            down_px=tallies.get(DOWN, {}).get(camera, 0) / 10 / pictures,
        )
        for camera, pictures in sorted(tallies.get(PICTURES, {}).items())
        if pictures > 0  # no file of ours has others
    )
