"""What is true of a dataset layout, stated by its reader: nobody asks for a layout by name."""

from collections.abc import Callable
from dataclasses import dataclass

from perception.core.types import Float64, SampleRef


def _id_of(ref: SampleRef) -> str:
    return ref.id


def _no_version(ref: SampleRef) -> str:
    return ""


@dataclass(frozen=True)
class Layout:
    """The traits of a layout.

    Attributes:
        name: What people write before the colon; for messages.
        is_recording: Whether samples that follow each other are moments of one drive.
        frame_numbers: Whether pictures are named by numbers, all in one folder, so that box files
            of another place can be told by number alone.
        own_boxes: Name of the folder of its own 2D boxes; "" where it has none.
        points_file: From a sample's id to where tools of this layout look for labels of its
            points, without the suffix.
        rect_from_lidar: From a sample to the (4, 4) transform into the frame in which its 3D boxes
            stand; None where that is the camera's own.
        sweep_token: From a sample to the name of its sweep in nuScenes' tables.
        tables_version: From a sample to the folder of nuScenes' tables; "" where there are none.
    """

    name: str
    is_recording: bool = False
    frame_numbers: bool = False
    own_boxes: str = ""
    points_file: Callable[[str], str] = str
    rect_from_lidar: Callable[[SampleRef], Float64] | None = None
    sweep_token: Callable[[SampleRef], str] = _id_of
    tables_version: Callable[[SampleRef], str] = _no_version
