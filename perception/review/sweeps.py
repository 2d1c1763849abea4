"""Sweeps for `web/point_view.js`: centimetres and colour codes per point, in base64."""

import base64
import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

from perception.core.ontology import Ontology
from perception.core.types import Float32, PointState, SampleLabels, Status
from perception.visualization import drawing

MAX_POINTS = 120_000  # of a sweep: about 1.1 MB of text
REACH_CM = 32_767  # int16
# Codes of the palette; the ontology's classes follow in its order.
UNKNOWN, BACKGROUND, NOT_ACCEPTED, FIRST_CLASS = range(4)
INSTANCE_COLOURS = 64  # then they begin again
TRUST_STEPS = 16  # of the ramp from the least trust to the full one
GOLDEN = 0.618034  # of the colour circle: between the hues of neighbouring ids

Palette = list[dict[str, str]]


def palettes(ontology: Ontology) -> dict[str, Palette]:
    """Return, for each way to colour points, name and colour of each code.

    A name of "" has no place in the legend. Codes below `FIRST_CLASS` are drawn small.
    """
    unseen = [
        ("unknown", drawing.POINT_RGB[PointState.UNKNOWN]),
        ("background", drawing.POINT_RGB[PointState.BACKGROUND]),
    ]
    doubtful = drawing.STATUS_RGB[Status.REVIEW]
    classes = [(entry.name, drawing.class_rgb(entry.id)) for entry in ontology.classes]
    hues = [
        tuple(int(255 * part) for part in colorsys.hsv_to_rgb(place * GOLDEN % 1, 0.7, 1.0))
        for place in range(INSTANCE_COLOURS)
    ]
    return {
        "label": _named([*unseen, ("label not accepted", doubtful), *classes]),
        "instance": _named([*unseen, ("", doubtful), *(("", hue) for hue in hues)]),
        "trust": _named([*unseen, ("", doubtful), *_ramp()]),
        "state": _named([*unseen, ("", doubtful), ("labelled", (90, 170, 255))]),
    }


def _ramp() -> list[tuple[str, tuple[int, ...]]]:
    """Return names and colours from red over yellow to green: only the ends have a name."""
    names = ["least trust", *[""] * (TRUST_STEPS - 2), "full trust"]
    hues = np.linspace(0, 1 / 3, TRUST_STEPS)
    return [
        (name, tuple(int(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.9, 1.0)))
        for name, hue in zip(names, hues, strict=True)
    ]


def _named(colours: Sequence[tuple[str, tuple[int, ...]]]) -> Palette:
    return [{"name": name, "rgb": "#{:02x}{:02x}{:02x}".format(*rgb)} for name, rgb in colours]


def pack_sweep(points_lidar: Float32, labels: SampleLabels, ontology: Ontology) -> dict[str, Any]:
    """Pack one sweep; a sweep of more than `MAX_POINTS` is thinned evenly.

    Points that are not finite, or farther than 327 m along an axis, are left out.

    Args:
        points_lidar: (P, 3) metres.
        labels: Of the sample that the sweep belongs to, P points.
        ontology: Of the run.

    Returns:
        `places_cm`: base64 of (N, 3) int16, little-endian; `codes`, `trusts`: base64 of (N) uint8,
        by label and by trust, see `palettes`; `ids`: base64 of int32, the instances of those of the
        N points that are labelled; `shown` N; `points` P. What is neither unknown nor background is
        labelled, so the state needs no codes of its own, nor does the instance.
    """
    points = labels.points
    labelled = points.states == PointState.LABELLED
    trusts = points.trusts.astype(np.int32) // (256 // TRUST_STEPS)
    codes = {
        "codes": _codes(labels, ontology),
        "trusts": np.where(labelled, FIRST_CLASS + trusts, points.states).astype(np.uint8),
    }
    rows = _rows_shown(points_lidar)
    ids = points.instance_ids[rows][labelled[rows]]
    return {**encode_places(points_lidar, **codes), "ids": _base64(ids.astype("<i4").tobytes())}


def encode_places(
    points_lidar: Float32, **codes: np.ndarray[Any, np.dtype[np.uint8]]
) -> dict[str, Any]:
    """Pack (P, 3) metres and columns of (P) codes as `pack_sweep` says."""
    rows = _rows_shown(points_lidar)
    places_cm = np.round(points_lidar[rows].astype(np.float64) * 100)
    return {
        "places_cm": _base64(places_cm.astype("<i2").tobytes()),
        **{name: _base64(column[rows].tobytes()) for name, column in codes.items()},
        "shown": len(rows),
        "points": len(points_lidar),
    }


def _rows_shown(points_lidar: Float32) -> np.ndarray[Any, np.dtype[np.int64]]:
    with np.errstate(invalid="ignore", over="ignore"):
        places_cm = np.round(points_lidar.astype(np.float64) * 100)
        rows = np.flatnonzero((np.abs(places_cm) <= REACH_CM).all(axis=1))  # NaN is not <=
    if len(rows) > MAX_POINTS:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_POINTS).astype(np.int64)]
    return rows


def _codes(labels: SampleLabels, ontology: Ontology) -> np.ndarray[Any, np.dtype[np.uint8]]:
    points = labels.points
    accepted = [
        picture.instances.instance_ids[picture.instances.statuses == Status.ACCEPTED]
        for picture in labels.pictures
    ]
    sure = np.isin(points.instance_ids, np.concatenate([*accepted, np.zeros(0, np.int32)]))
    codes = np.full(len(points), UNKNOWN, np.uint8)
    codes[points.states == PointState.BACKGROUND] = BACKGROUND
    codes[points.states == PointState.LABELLED] = NOT_ACCEPTED
    for place, entry in enumerate(ontology.classes):
        codes[sure & (points.class_ids == entry.id)] = FIRST_CLASS + place
    return codes


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
