"""`perception init`: a settings file for somebody's data, with a comment for every setting."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel

from perception.core.config import Config, ObserveConfig
from perception.core.errors import RequestError, SampleError
from perception.core.limits import MOST_MEGAPIXELS
from perception.core.types import SampleRef
from perception.io import buckets
from perception.io.files import write_bytes
from perception.io.images import probe_image
from perception.readers import sources

PROBED = 20  # pictures whose headers are read, spread over the source


@dataclass(frozen=True)
class Started:
    """What `init` found and wrote.

    Attributes:
        path: The settings file.
        samples: Samples of the source.
        pictures: Pictures of all of them.
        sweeps: Samples with a sweep.
        notices: What was left out of the source, see `sources.Found`.
        command: The command that labels the source with these settings.
    """

    path: Path
    samples: int
    pictures: int
    sweeps: int
    notices: tuple[str, ...]
    command: str

    def lines(self) -> list[str]:
        """Return what people read."""
        return [
            f"{self.samples} samples, {self.pictures} pictures, {self.sweeps} sweeps",
            *(f"note: {notice}" for notice in self.notices),
            f"settings in {self.path}; then:",
            f"  {self.command}",
        ]


def init(source: str, out: Path) -> Started:
    """Look at a source and write settings for it.

    They are the defaults; `max_megapixels` is what the largest picture needs, of `PROBED` spread
    over the source, where that is more.

    Args:
        source: What `label` takes.
        out: The .yaml file; must not exist.

    Raises:
        RequestError: `output.exists`; those of `sources.parse_source` and `sources.survey`.
    """
    if os.path.lexists(out):
        raise RequestError("output.exists", f"{out}: is there already; give another name")
    found = sources.survey(sources.parse_source(source))
    command = (
        f"perception label {source} --config {out} --detector yolov8n.onnx "
        f"--segmenter mobile_sam.pt --out runs/{out.stem}"
    )
    config = Config(observe=ObserveConfig(max_megapixels=_megapixels(found.refs)))
    write_bytes(out, commented(config, command).encode())
    return Started(
        path=out,
        samples=len(found.refs),
        pictures=sum(len(ref.pictures) for ref in found.refs),
        sweeps=sum(bool(ref.sweep_file) for ref in found.refs),
        notices=found.notices,
        command=command,
    )


def commented(config: Config, command: str) -> str:
    """Return settings as YAML, each with its description above it."""
    head = ["# Settings of a run. What is deleted here keeps its default.", f"#   {command}"]
    return "\n".join([*head, *_lines(config, 0)]) + "\n"


def _lines(settings: BaseModel, depth: int) -> Iterator[str]:
    margin = "  " * depth
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            said = (type(value).__doc__ or "").splitlines()[0]
            yield from ("", f"{margin}# {said}", f"{margin}{name}:", *_lines(value, depth + 1))
            continue
        if field.description:
            yield f"{margin}# {field.description}"
        yield margin + yaml.safe_dump({name: value}).strip()


def _megapixels(refs: tuple[SampleRef, ...]) -> int:
    """Return the limit that the largest of some pictures needs, at least the default."""
    limit = ObserveConfig().max_megapixels
    for ref in refs[:: max(1, len(refs) // PROBED)]:
        for picture in ref.pictures if not buckets.is_bucket(ref.root) else ():
            try:
                height, width = probe_image(Path(ref.root) / picture.file_name)
            except SampleError:  # the run quarantines it, with the reason
                continue
            limit = max(limit, math.ceil(height * width / 1e6))
    return min(limit, MOST_MEGAPIXELS)
