"""Boxes prompt masks; masks become labels that can be trusted, for pixels and for LiDAR points.

The names in `__all__` are what Python callers need; each is imported when it is first asked for, so
that `import perception` loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perception.core.version import __version__ as __version__

if TYPE_CHECKING:
    from perception.commands.calls import label
    from perception.commands.label import Planned, plan
    from perception.commands.relabel import relabel
    from perception.commands.request import LabelRequest
    from perception.commands.results import Run, open_run, read_labels
    from perception.commands.views import PictureView, SampleView
    from perception.core.errors import PerceptionError

__all__ = [
    "LabelRequest",
    "PerceptionError",
    "PictureView",
    "Planned",
    "Run",
    "SampleView",
    "label",
    "open_run",
    "plan",
    "read_labels",
    "relabel",
]

_PLACES = {
    "LabelRequest": "perception.commands.request",
    "PerceptionError": "perception.core.errors",
    "PictureView": "perception.commands.views",
    "Planned": "perception.commands.label",
    "Run": "perception.commands.results",
    "SampleView": "perception.commands.views",
    "label": "perception.commands.calls",
    "open_run": "perception.commands.results",
    "plan": "perception.commands.label",
    "read_labels": "perception.commands.results",
    "relabel": "perception.commands.relabel",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'perception' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
