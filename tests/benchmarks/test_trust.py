"""Is the judge of trust fair? Labels whose chance of being right is known by construction."""

import numpy as np
import pytest

from perception.benchmarks.trust import judge
from perception.commands.trust import Checked
from perception.labeling.trust.features import FEATURES
from perception.labeling.trust.fit import Examples


@pytest.mark.slow
def test_two_signals_that_each_say_half_beat_the_better_one_on_scenes_not_seen() -> None:
    rng, n = np.random.default_rng(0), 400
    features = np.full((n, len(FEATURES)), np.nan)
    signals = rng.normal(size=(n, 2))
    features[:, [list(FEATURES).index(name) for name in ("score", "wobble")]] = signals
    right = rng.random(n) < 1 / (1 + np.exp(-2 * signals.sum(axis=1)))
    groups = tuple(f"scene {i % 12}" for i in range(n))
    examples = Examples(features, ("car",) * n, right, groups)
    checked = Checked(examples, np.ones(n, bool), ())
    verdict = judge(checked, splits=1, target=0.9, right_iou=0.75, seed=0)
    assert verdict.labels == n and verdict.groups == 12
    assert verdict.best_single in ("score", "wobble")
    assert verdict.log_loss < verdict.log_loss_single and verdict.log_loss_gain.low > 0
    assert verdict.brier < verdict.brier_single and verdict.auroc > verdict.auroc_single
    assert verdict.calibration_error < 0.03 and abs(verdict.precision - 0.9) < 0.05
    assert verdict.kept > verdict.kept_single and verdict.review_gain > 2
    assert any("best single keeps" in line for line in verdict.report().lines)
