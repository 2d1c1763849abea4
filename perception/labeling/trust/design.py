"""What a regression sees of labels, and what its weights mean to a trust model."""

from dataclasses import dataclass

import numpy as np

from perception.core.types import Float64
from perception.labeling.trust.features import FEATURES
from perception.labeling.trust.model import Term, Weights

CLASS_SLOPES = ("score", "size")  # 400 pixels are a whole bus no more often than half a person
KNOWN_SHARE = 0.5  # a signal that most labels lack is left out


@dataclass(frozen=True, eq=False)
class Design:
    """Which columns a regression sees, how they are scaled, and what it adds to.

    Attributes:
        features: Keys of `FEATURES`.
        centres: Of each.
        scales: Of each.
        classes: Names.
        prior: What the regression adds to; None for nothing.
    """

    features: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    classes: tuple[str, ...]
    prior: Weights | None

    def matrix(self, features: Float64, class_names: tuple[str, ...]) -> Float64:
        """Return (N, features, then classes, then classes for each sloped feature).

        A signal that is not known is at its centre.

        Args:
            features: (N, F) as from `features_of`.
            class_names: N names.
        """
        values = features[:, [list(FEATURES).index(name) for name in self.features]]
        centres = np.array(self.centres)
        scaled = (np.where(np.isfinite(values), values, centres) - centres) / np.array(self.scales)
        names = np.asarray(class_names, dtype=np.str_)
        own = names[:, None] == np.array(self.classes, dtype=np.str_)
        slopes = [own * scaled[:, [self.features.index(name)]] for name in self.sloped]
        return np.hstack([scaled, own, *slopes])

    def weights(self, columns: Float64, bias: float) -> Weights:
        """Return what a regression found, added to the prior.

        Args:
            columns: (K,) weights of the columns of `matrix`.
            bias: Of the regression.
        """
        plain, *blocks = np.split(
            columns, len(self.features) + len(self.classes) * np.arange(1 + len(self.sloped))
        )
        own = [dict(zip(self.classes, map(float, block), strict=True)) for block in blocks]
        by_class = dict(zip(self.sloped, own[1:], strict=True))
        rows = zip(self.features, self.centres, self.scales, map(float, plain), strict=True)
        terms = tuple(
            Term(feature=f, centre=c, scale=s, weight=w, by_class=by_class.get(f, {}))
            for f, c, s, w in rows
        )
        if self.prior is None:
            return Weights(bias=bias, terms=terms, class_offsets=own[0])
        return Weights(
            bias=self.prior.bias + bias,
            terms=_added(self.prior.terms, terms),
            class_offsets=_summed(self.prior.class_offsets, own[0]),
        )

    @property
    def sloped(self) -> tuple[str, ...]:
        """Return the features whose weight differs between classes."""
        return tuple(name for name in CLASS_SLOPES if name in self.features)


def choose(
    features: Float64, class_names: tuple[str, ...], only: tuple[str, ...], prior: Weights | None
) -> Design:
    """Choose the signals that most labels have and that differ between them.

    Those of a prior are scaled as it scales them, so that weights can be added.

    Args:
        features: (N, F) as from `features_of`.
        class_names: N names.
        only: Features to choose from.
        prior: What the regression adds to.
    """
    scaled = {term.feature: (term.centre, term.scale) for term in (prior.terms if prior else ())}
    rows = []
    for place, name in enumerate(FEATURES):
        values = features[:, place]
        known = values[np.isfinite(values)]
        if name in only and len(known) >= KNOWN_SHARE * len(values) and np.ptp(known) > 0:
            rows.append((name, *scaled.get(name, (float(np.median(known)), float(known.std())))))
    return Design(
        features=tuple(row[0] for row in rows),
        centres=tuple(row[1] for row in rows),
        scales=tuple(row[2] for row in rows),
        classes=tuple(sorted(set(class_names))),
        prior=prior,
    )


def _added(prior: tuple[Term, ...], terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Return the prior's terms with what was added to them, then those that it lacks."""
    changes = {term.feature: term for term in terms}
    both = []
    for term in prior:
        change = changes.pop(term.feature, None)
        if change is not None:
            by_class = _summed(term.by_class, change.by_class)
            weight = term.weight + change.weight
            term = term.model_copy(update={"weight": weight, "by_class": by_class})
        both.append(term)
    return (*both, *changes.values())


def _summed(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in first | second}
