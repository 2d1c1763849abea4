"""Which labels a person should look at first: chance of being wrong, times what an error costs.

Where a trust model was fitted, the chance is its own. Without one there is an order and no chance:
the mean rank, within the run, of what the models said of the label.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from perception.core import masks as masks_
from perception.core.types import Float64, Instances, PictureLabels, SampleLabels, Status

RANDOM_EVERY = 5  # of the labels shown: enough for an estimate, few enough to stay worst first
SEED = 0


@dataclass(frozen=True)
class Candidate:
    """A label that a person may look at.

    Attributes:
        sample: Place of its sample among all samples that were read.
        picture: Place of its picture in the sample.
        row: Of the picture's instances.
        status: `Status`.
        class_id: Of the run's ontology.
        area_px: Of its mask.
        reasons: Codes.
        trust: Fitted chance of being right; NaN without a model.
        signals: (S,) what the models said, each the higher the better; NaN where unknown.
    """

    sample: int
    picture: int
    row: int
    status: Status
    class_id: int
    area_px: int
    reasons: tuple[str, ...]
    trust: float
    signals: tuple[float, ...]


@dataclass(frozen=True)
class Turn:
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
    signals = _signals(instances)
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
                tuple(signals[row].tolist()),
            )


def _signals(instances: Instances) -> Float64:
    columns = (
        instances.scores,
        instances.predicted_ious,
        instances.stabilities,
        instances.box_ious,
        -instances.outside_shares,
    )
    return np.stack(columns, axis=1).astype(np.float64)


def chances(found: list[Candidate]) -> Float64:
    """Return (N,) how doubtful labels are: a chance of error where all have one, else a rank."""
    if not found:
        return np.zeros(0)
    if has_trust(found):
        return 1 - np.array([one.trust for one in found], np.float64)
    signals = np.array([one.signals for one in found], np.float64)
    ranks = np.zeros(len(found))
    for column in signals.T:
        # Ties share a rank: a signal that is equal everywhere says nothing. Unknown is worst.
        _, place = np.unique(np.nan_to_num(-column, nan=np.inf), return_inverse=True)
        ranks += place / max(int(place.max()), 1)
    return np.asarray(ranks / signals.shape[1])


def has_trust(found: list[Candidate]) -> bool:
    """Tell whether every label has a fitted chance of being right."""
    return bool(found) and not np.isnan([one.trust for one in found]).any()


def worst_first(found: list[Candidate]) -> list[Candidate]:
    """Order labels by chance of error times effect; without chances by the signals alone.

    The effect is the logarithm of the area: a large error costs more, but most errors are small,
    and with its root the first tenth of a synthetic run held a tenth of the errors of a random
    order. A rank is no chance, so that nothing may multiply it.
    """
    doubt = chances(found)
    if has_trust(found):
        doubt = doubt * np.log2(1 + np.array([one.area_px for one in found]))
    return [found[i] for i in np.argsort(-doubt, kind="stable")]


def turns(found: list[Candidate]) -> list[Turn]:
    """Return the order of review: worst first, every fifth drawn at random from what is left.

    Doubtful labels say nothing of the others; those drawn at random do.
    """
    order = worst_first(found)
    lottery = np.random.default_rng(SEED).permutation(len(order)).tolist()
    taken, worst, result = set[int](), 0, list[Turn]()
    while len(result) < len(order):
        drawn = len(result) % RANDOM_EVERY == RANDOM_EVERY - 1
        if drawn:
            chosen = next(place for place in iter(lottery.pop, None) if place not in taken)
        else:
            while worst in taken:
                worst += 1
            chosen = worst
        taken.add(chosen)
        result.append(Turn(order[chosen], drawn))
    return result
