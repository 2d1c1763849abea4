"""Reasons: why an instance is no accepted label, or is one all the same. One table for all rooms.

A code is NAMESPACE.WHAT; `duplicate_of.N` and `part_of.N` end in the id of another instance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Gates that a label passes, in this order: its own mask and score, one label an object, people.
JUDGED, ONE_EACH, PEOPLE = "judged", "one each", "people"
GATES = (JUDGED, ONE_EACH, PEOPLE)


@dataclass(frozen=True)
class Reason:
    """What a code means.

    Attributes:
        words: For people.
        gate: One of `GATES` that a rejection for it does not pass; "" for a reason that rejects
            nothing.
    """

    words: str
    gate: str = ""


REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        "score.low": Reason("the detector is below the threshold", JUDGED),
        "mask.empty": Reason("the segmenter found nothing", JUDGED),
        "mask.full_frame": Reason("the mask is the whole picture", JUDGED),
        "mask.off_box": Reason("mask and prompt box disagree", JUDGED),
        "mask.outside_box": Reason("the mask leaves its box", JUDGED),
        "iou.low": Reason("the segmenter doubts its mask"),
        "stability.low": Reason("the mask changes with its threshold"),
        "mask.contested": Reason("better masks own most of its pixels"),
        "points.behind": Reason("its points are too far for anything of its class to look so tall"),
        "points.size": Reason("its points reach further than anything of its class"),
        "points.depth_span": Reason("most points under its mask lie at another depth than it"),
        "duplicate_of": Reason("a better label covers it already", ONE_EACH),
        "part_of": Reason("it became part of a rider", ONE_EACH),
        "rider.unsure": Reason("the person may ride, or stand beside it"),
        "trust.low": Reason("the fitted chance of being right is below the line"),
        "class.kept": Reason("below the line, and kept so that its class has enough labels"),
        "human.reject": Reason("a person rejected it", PEOPLE),
        "human.wrong_class": Reason("a person said that its class is wrong", PEOPLE),
        "human.bad_edge": Reason("a person said that its edge is wrong", PEOPLE),
    }
)


def kind_of(code: str) -> str:
    """Return the row of `REASONS` that a code belongs to: of "duplicate_of.7" it is before the dot.

    The code itself where the table has no such row.
    """
    head = code.partition(".")[0]
    return head if head in REASONS else code


def words_of(code: str) -> str:
    """Say a reason; the code itself for one that the table does not have."""
    head, _, other = code.partition(".")
    if head in REASONS and other:
        return f"{head.replace('_', ' ')} label {other}"
    return REASONS[code].words if code in REASONS else code


def gate_of(code: str) -> str:
    """Return the gate that a rejection for a code does not pass; "" for none."""
    kind = kind_of(code)
    return REASONS[kind].gate if kind in REASONS else ""
