"""The order of review: the most doubtful labels first, and among them some drawn at random.

The order is that of `labeling.trust.features.worst_first`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from perception.core import masks as masks_
from perception.core.types import Float64, PictureLabels, SampleLabels, Status
from perception.labeling.trust import features as features_
from perception.labeling.trust.features import FEATURES, features_of

RANDOM_EVERY = 5  # of the labels shown: enough for an estimate, few enough to stay worst first
SEED = 0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A label that may be reviewed.

    Attributes:
        sample: Place of its sample among all samples that were read.
        picture: Place of its picture in the sample.
        row: Of the picture's instances.
        status: `Status`.
        class_id: Of the run's ontology.
        area_px: Of its mask.
        reasons: Codes.
        trust: Fitted chance of being right; NaN without a model.
        features: (F,) as from `features_of`.
    """

    sample: int
    picture: int
    row: int
    status: Status
    class_id: int
    area_px: int
    reasons: tuple[str, ...]
    trust: float
    features: Float64


@dataclass(frozen=True)
class Queued:
    """A candidate in the order of review.

    Attributes:
        candidate: The label.
        drawn: It was drawn at random from what was left, not for being doubtful.
    """

    candidate: Candidate
    drawn: bool


def candidates(samples: Iterable[SampleLabels], statuses: frozenset[Status]) -> Iterator[Candidate]:
    """Yield the labels of these statuses whose masks are not empty."""
    for place, sample in enumerate(samples):
        for number, picture in enumerate(sample.pictures):
            yield from _of_picture(place, number, picture, statuses)


def _of_picture(
    place: int, number: int, picture: PictureLabels, statuses: frozenset[Status]
) -> Iterator[Candidate]:
    instances = picture.instances
    areas, trusts = masks_.areas(instances.masks), instances.trusts
    features = features_of(instances)
    for row in range(len(instances)):
        status = Status(int(instances.statuses[row]))
        if areas[row] and status in statuses:
            yield Candidate(
                place,
                number,
                row,
                status,
                int(instances.class_ids[row]),
                int(areas[row]),
                instances.reasons[row],
                float(trusts[row]),
                features[row],
            )


def has_trust(found: list[Candidate]) -> bool:
    """Tell whether every label has a fitted chance of being right."""
    return bool(found) and not np.isnan([one.trust for one in found]).any()


def worst_first(found: list[Candidate]) -> list[Candidate]:
    """Return labels in the order of `labeling.trust.features.worst_first`."""
    features = np.array([one.features for one in found], np.float64).reshape(-1, len(FEATURES))
    order = features_.worst_first(np.array([one.trust for one in found], np.float64), features)
    return [found[i] for i in order]


def review_order(found: list[Candidate]) -> list[Queued]:
    """Return the order of review: worst first, every fifth drawn at random from what is left.

    Only those drawn at random allow an estimate for all labels.
    """
    order = worst_first(found)
    at_random = np.random.default_rng(SEED).permutation(len(order)).tolist()
    taken, worst, result = set[int](), 0, list[Queued]()
    while len(result) < len(order):
        drawn = len(result) % RANDOM_EVERY == RANDOM_EVERY - 1
        if drawn:
            chosen = next(place for place in iter(at_random.pop, None) if place not in taken)
        else:
            while worst in taken:
                worst += 1
            chosen = worst
        taken.add(chosen)
        result.append(Queued(order[chosen], drawn))
    return result
