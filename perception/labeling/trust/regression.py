"""Logistic regression that is pulled to where it starts, by Newton's steps.

scikit-learn's has no offsets: it pulls to zero, and a fit that starts from another needs them.
"""

import numpy as np

from perception.core.types import Bool, Float64

MAX_STEPS = 100
_DONE = 1e-9  # of the loss in a step, in nats over all labels: no probability moves by it


def logistic(
    matrix: Float64, right: Bool, penalty: float, offsets: Float64 | None = None
) -> tuple[Float64, float]:
    """Return weights and bias of a ridge-penalised logistic regression.

    They make the sum of the log losses and of |weights|^2 / (2 penalty) least; where all labels are
    alike, no weight says anything and the bias is that of `rate`. Newton's method with a halved
    step where a whole one would go up: the sum is convex, so it ends at the one least.

    Args:
        matrix: (N, K).
        right: (N,) bool.
        penalty: scikit-learn's C: the smaller, the nearer to zero the weights.
        offsets: (N,) log-odds that the regression adds to; zeros by default.
    """
    start = np.zeros(len(right)) if offsets is None else offsets
    if right.all() or not right.any():
        return np.zeros(matrix.shape[1]), rate(right) - float(start.mean())
    design = np.hstack([matrix, np.ones((len(right), 1))])
    pull = np.append(np.full(matrix.shape[1], 1 / penalty), 0.0)  # the bias is free

    def loss(answer: Float64) -> float:
        odds = start + design @ answer
        return float(np.logaddexp(0, np.where(right, -odds, odds)).sum() + pull @ answer**2 / 2)

    answer = np.zeros(len(pull))
    least = loss(answer)
    for _ in range(MAX_STEPS):
        chances = 1 / (1 + np.exp(-np.clip(start + design @ answer, -50, 50)))
        slope = design.T @ (chances - right) + pull * answer
        # 1e-9: chances that are all 0 or 1 leave the bias without a curve
        curve = (design.T * (chances * (1 - chances))) @ design + np.diag(pull + 1e-9)
        step, length = np.linalg.solve(curve, slope), 1.0
        while loss(answer - length * step) > least and length > _DONE:
            length /= 2
        found = loss(answer - length * step)
        if least - found < _DONE:
            break
        answer, least = answer - length * step, found
    return answer[:-1], float(answer[-1])


def averaged(
    matrix: Float64, right: Bool, penalties: tuple[float, ...], offsets: Float64
) -> tuple[Float64, float]:
    """Return the mean of the weights and biases of several penalties, each by its evidence.

    The evidence is the chance of the labels with the weights integrated out, by Laplace's method
    (MacKay, "The Evidence Framework Applied to Classification Networks", 1992): it needs no labels
    held out, of which few have none to spare.

    Args:
        matrix: (N, K).
        right: (N,) bool.
        penalties: As `logistic` takes one.
        offsets: (N,) log-odds that the regression adds to.
    """
    found = [logistic(matrix, right, penalty, offsets) for penalty in penalties]
    evidence = np.array(
        [
            _log_evidence(matrix, right, penalty, offsets, *one)
            for penalty, one in zip(penalties, found, strict=True)
        ]
    )
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    columns = shares @ np.stack([columns for columns, _ in found])
    return columns, float(shares @ np.array([bias for _, bias in found]))


def _log_evidence(
    matrix: Float64, right: Bool, penalty: float, offsets: Float64, columns: Float64, bias: float
) -> float:
    """Return ln of the chance of the labels, less what is the same for every penalty."""
    odds = offsets + matrix @ columns + bias
    chances = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
    design = np.hstack([matrix, np.ones((len(right), 1))])
    pull = np.append(np.full(matrix.shape[1], 1 / penalty), 1e-9)
    curve = (design.T * (chances * (1 - chances))) @ design + np.diag(pull)
    fits = -np.logaddexp(0, np.where(right, -odds, odds)).sum()
    width = np.linalg.slogdet(curve)[1] + matrix.shape[1] * np.log(penalty)
    return float(fits - columns @ columns / (2 * penalty) - width / 2)


def rate(right: Bool) -> float:
    """Return the log-odds of the share that is right; finite where all or none are."""
    hits, n = int(right.sum()), len(right)
    return float(np.log((hits + 0.5) / (n - hits + 0.5)))
