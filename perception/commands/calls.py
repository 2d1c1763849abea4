"""`label` as scripts and notebooks call it: plain arguments in place of a request."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict, Unpack

from perception.commands import notebook
from perception.commands.label import label as label_request
from perception.commands.request import LabelRequest
from perception.commands.results import Progress, Run, Tell, no_progress, tell_nobody
from perception.core.choices import Backend, Mode, Precision, nested
from perception.core.config import merge
from perception.core.errors import RequestError
from perception.core.presets import with_preset

SEGMENTER, DETECTOR = "mobile_sam", "yolov8n"
PRESET = "preset"
# What options of their own set, by the key of the setting.
SETTINGS = {
    "floor": "observe.min_score",
    "device": "observe.device",
    "threads": "observe.threads",
    "chunk": "observe.prompt_chunk",
    "mode": "observe.mode",
    "backend": "observe.backend",
    "precision": "observe.precision",
    "detect_backend": "observe.detect_backend",
    "detect_tiles": "observe.detect_tiles",
    "wobble": "observe.wobble",
    "max_megapixels": "observe.max_megapixels",
    "columns": "observe.columns",
    "min_score": "decide.judge.min_score",
}
_FIELDS = frozenset(field.name for field in fields(LabelRequest)) - {"source", "out"}


class Options(TypedDict, total=False):
    """What `label` takes beside the source: fields of `LabelRequest`, and single settings."""

    segmenter: str
    detector: str
    boxes: str
    second: str
    trust: str
    class_map: str
    classes: str
    preset: str
    config: Path | None
    overrides: dict[str, Any]
    engine: str
    workers: int
    address: str
    dashboard: str
    limit: int
    trust_weights: bool
    names: str
    overwrite: bool
    new_run: bool
    break_lock: bool
    strict_calibration: bool
    offline: bool
    floor: float | None
    device: str | None
    threads: int | None
    chunk: int | None
    mode: Mode | None
    backend: Backend | None
    precision: Precision | None
    detect_backend: str | None
    detect_tiles: str | None
    wobble: int | None
    max_megapixels: int | None
    columns: int | None
    min_score: float | None


def label(
    source: LabelRequest | Path | str,
    out: Path | str = "",
    *,
    progress: Progress | None = None,
    tell: Tell | None = None,
    **options: Unpack[Options],
) -> Run:
    """Label a dataset into a run, or go on where an earlier call stopped.

        run = label("photos", min_score=0.4, classes="person,car")

    Args:
        source: What to label: a path, "LAYOUT:ROOT" or a dataset.yaml; or a whole request.
        out: The run folder, or an address in a bucket; "" for runs/NAME, after the source.
        progress: Called before and after each shard; by default notebooks show a bar.
        tell: Called with each notice before any work; by default notebooks show them.
        options: As `LabelRequest` has them, and settings that have an option of their own on the
            command line, under its name.

    Raises:
        RequestError: before any work, for anything wrong with the request; `option.unknown`.
    """
    if isinstance(source, LabelRequest):
        if out or options:
            raise RequestError(
                "option.invalid", "a LabelRequest holds its own options: change them there"
            )
        request = source
    else:
        request = request_of(str(source), out, options)
    with _shown(progress) as bar:
        return label_request(request, progress or no_progress, tell or (bar or tell_nobody))


@contextmanager
def _shown(progress: Progress | None) -> Iterator[Callable[[str], None] | None]:
    """Show a bar in a notebook, unless the caller shows something."""
    bar = notebook.Bar() if progress is None and notebook.is_one() else None
    with bar or nullcontext():
        yield bar.note if bar else None


def request_of(source: str, out: Path | str, options: Mapping[str, Any]) -> LabelRequest:
    """Return the request that options come to; settings that are None are left as they are.

    Raises:
        RequestError: `option.unknown`, with those that are meant, or all.
    """
    for name in options:
        if name not in {*_FIELDS, *SETTINGS, PRESET}:
            raise _unknown(name)
    given = {name: options[name] for name in options if name in _FIELDS}
    single = {key: options[name] for name, key in SETTINGS.items() if options.get(name) is not None}
    given["overrides"] = merge(dict(given.get("overrides") or {}), nested(single))
    file = Path(given["config"]) if given.get("config") else None
    given["config"], given["overrides"] = with_preset(
        options.get(PRESET) or "", file, given["overrides"]
    )
    given["detector"] = given.get("detector") or ("" if given.get("boxes") else DETECTOR)
    given["segmenter"] = given.get("segmenter") or SEGMENTER
    if isinstance(given.get("classes"), list | tuple):
        given["classes"] = ",".join(given["classes"])
    for name in ("class_map", "boxes", "detector", "segmenter", "second", "trust"):
        given[name] = str(given.get(name) or "")  # a Path is welcome
    return LabelRequest(source, out or f"runs/{name_of(source)}", **given)


def _unknown(name: str) -> RequestError:
    known = sorted({*_FIELDS, *SETTINGS, PRESET})
    close = get_close_matches(name, known, 3, 0.5)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return RequestError("option.unknown", f"{name}: {meant}there are {', '.join(known)}")


def name_of(source: str) -> str:
    """Return what a run of a source is called: its folder or list, without what cannot be a name.

    Of "kitti:DATA/kitti" it is "kitti", of "photos/*.jpg" it is "photos".
    """
    parts = [part for part in re.split(r"[/:]", source) if part not in {"", ".", ".."}]
    plain = [part for part in parts if not set(part) & set("*?[")]
    stem = (plain or ["labels"])[-1]
    return re.sub(r"\.(txt|ya?ml|jpe?g|png)$", "", stem, flags=re.IGNORECASE)
