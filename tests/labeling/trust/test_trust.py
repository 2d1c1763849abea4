"""Features, fit, curve and line: by hand, with scikit-learn as judge, on labels of known chance."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.benchmarks.trust import (
    auroc,
    calibration_error,
    excess_calibration_error,
    review_gain,
)
from perception.core.errors import RequestError
from perception.core.statistics import Figure
from perception.core.types import Instances, Masks, Status
from perception.labeling.trust.design import choose
from perception.labeling.trust.features import FEATURES, doubts, features_of, log_odds
from perception.labeling.trust.fit import Examples, _folds, check, fit, fit_curve, log_losses
from perception.labeling.trust.model import (
    Curve,
    Fitted,
    Term,
    TrustModel,
    draw_line,
    read_model,
)
from perception.labeling.trust.regression import logistic
from perception.labeling.trust.threshold import NOTHING, class_lines, line_for, share_of

F = len(FEATURES)
PLACE = {name: i for i, name in enumerate(FEATURES)}
FITTED = Fitted(labels=1, right=1, groups=1, classes={}, log_loss=0)


def model(**changes: object) -> TrustModel:
    values = {
        "right_iou": 0.75,
        "bias": 0.5,
        "terms": (Term(feature="size", centre=2, scale=4, weight=3, by_class={"bus": -1}),),
        "class_offsets": {"car": 1.0},
        "calibration": Curve(kind="logistic"),
        "fitted": FITTED,
    } | changes
    return TrustModel(**values)  # type: ignore[arg-type]


def features(n: int, **columns: object) -> np.ndarray:
    table = np.full((n, F), np.nan)
    for name, values in columns.items():
        table[:, PLACE[name]] = values
    return table


def sampled(n: int, seed: int = 0, groups: int = 40) -> tuple[Examples, np.ndarray]:
    """Draw labels whose chance of being right is known: 1 / (1 + exp(-(2 a + b - 0.5)))."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    chance = 1 / (1 + np.exp(-(2 * a + b - 0.5)))
    examples = Examples(
        features=features(n, score=a, stability=b, size=rng.normal(size=n)),
        class_names=("car",) * n,
        right=rng.random(n) < chance,
        groups=tuple(f"{i % groups}" for i in range(n)),
    )
    return examples, chance


def test_shares_become_log_odds_and_what_leaves_them_is_clamped() -> None:
    found = log_odds(np.array([0.5, 0.75, 1.02, -1, np.nan], np.float32))
    np.testing.assert_allclose(found, [0, np.log(3), np.log(99), -np.log(99), np.nan], atol=1e-6)


def test_what_is_thinner_than_a_pixel_counts_as_one_pixel() -> None:
    rows = replace(
        Instances.blank(3, (9, 9)), masks=Masks(np.zeros((3, 4), np.int32), (b"",) * 3, (9, 9))
    )
    boxes = np.array([[0, 0, 8, 4], [2, 0, 2, 4], [0, 3, 5, 3.5]], np.float32)
    found = features_of(replace(rows, boxes_xyxy=boxes))[:, PLACE["elongation"]]
    np.testing.assert_allclose(found, np.log([8 / 4, 1 / 4, 5 / 1]))


def test_the_log_odds_are_bias_offset_and_terms() -> None:
    found = model().scores(features(3, size=[6, 6, np.nan]), ["car", "bus", "tram"])
    # car 0.5 + 1 + 3 * 1; bus 0.5 + 0 + (3 - 1) * 1; the unknown size is at its centre
    np.testing.assert_allclose(found, [4.5, 2.5, 0.5])


def test_a_model_is_applied_to_no_label_too() -> None:
    assert model().probabilities(features(0), []).shape == (0,)
    assert doubts(features(0)).shape == (0,)


def test_isotonic_knots_are_joined_by_lines_and_level_outside() -> None:
    curve = Curve(kind="isotonic", scores=(0, 2), probabilities=(0.2, 0.6))
    np.testing.assert_allclose(curve(np.array([-9, 0, 1, 2, 9.0])), [0.2, 0.2, 0.4, 0.6, 0.6])


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_the_curve_is_scikit_learns(kind: str) -> None:
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    scores = rng.normal(size=300)
    right = rng.random(300) < 1 / (1 + np.exp(-scores))
    at = np.linspace(-4, 4, 33)
    if kind == "logistic":
        judge = LogisticRegression(C=100, tol=1e-10).fit(scores[:, None], right)
        expected = judge.predict_proba(at[:, None])[:, 1]
    else:
        judge = IsotonicRegression(y_min=1 / 302, y_max=301 / 302, out_of_bounds="clip")
        expected = judge.fit(scores, right).predict(at)
    found = fit_curve(scores, right, kind)(at)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_curve_that_would_fall_is_level() -> None:
    curve = fit_curve(np.array([0.0, 1, 2, 3]), np.array([True, True, False, False]), "logistic")
    np.testing.assert_allclose(curve(np.array([-5.0, 5])), 0.5)


def test_a_fit_finds_the_chance_that_labels_were_drawn_with() -> None:
    seen, _ = sampled(3000)
    unseen, chance = sampled(3000, seed=1)
    found = fit(seen, 0.75).model.probabilities(unseen.features, list(unseen.class_names))
    assert np.abs(found - chance).mean() < 0.02
    assert excess_calibration_error(found.astype(np.float64), unseen.right) < 0.02


def test_all_signals_say_more_than_one() -> None:
    examples, chance = sampled(1500)
    both, one = fit(examples, 0.75), fit(examples, 0.75, only=("score",))
    assert both.model.fitted.log_loss < one.model.fitted.log_loss - 0.02
    assert both.model.fitted.log_loss == pytest.approx(
        log_losses(chance, examples.right).mean(), abs=0.02
    )
    assert [term.feature for term in one.model.terms] == ["score"]


def unlike_groups(seed: int) -> Examples:
    """Return groups that are all right or all wrong, by chance: they say nothing of others."""
    rng = np.random.default_rng(seed)
    return Examples(
        features=features(400, score=np.repeat(rng.normal(size=20), 20)),
        class_names=("car",) * 400,
        right=np.repeat(rng.permutation(20) < 10, 20),
        groups=tuple(str(i // 20) for i in range(400)),
    )


def test_held_out_probabilities_do_not_know_their_group() -> None:
    examples = unlike_groups(0)
    assert abs(auroc(fit(examples, 0.75).held_out, examples.right) - 0.5) < 0.45
    assert fit(examples, 0.75).model.fitted.log_loss > 0.6


def test_where_no_fit_says_anything_of_unseen_groups_the_strongest_penalty_is_taken() -> None:
    examples = unlike_groups(1)
    found = fit(examples, 0.75).model
    assert found.fitted.log_loss == pytest.approx(np.log(2))  # half are right
    design = choose(examples.features, examples.class_names, ("score",), None)
    matrix = design.matrix(examples.features, examples.class_names)
    columns, _ = logistic(matrix, examples.right, 0.01)
    assert found.terms[0].weight == pytest.approx(columns[0])


def test_a_rare_class_is_pulled_to_the_answer_for_all() -> None:
    rng = np.random.default_rng(0)
    names = ("car",) * 400 + ("van",) * 100 + ("tram",) * 2
    right = np.concatenate([rng.random(400) < 0.8, rng.random(100) < 0.3, [False, False]])
    examples = Examples(
        features(502, score=rng.normal(size=502)),
        names,
        right,
        tuple(str(i % 30) for i in range(502)),
    )
    found = fit(examples, 0.75).model.probabilities(
        features(4, score=0.0), ["car", "van", "tram", "unknown"]
    )
    assert found[0] == pytest.approx(0.8, abs=0.06) and found[1] == pytest.approx(0.3, abs=0.1)
    assert found[1] < found[2] < found[0]  # two wrong trams are no proof against trams


def test_a_signal_that_most_labels_lack_is_left_out() -> None:
    examples, _ = sampled(200)
    table = examples.features.copy()
    table[:20, PLACE["wobble"]] = np.arange(20)
    sparse = Examples(table, examples.class_names, examples.right, examples.groups)
    assert "wobble" not in [term.feature for term in fit(sparse, 0.75).model.terms]


@pytest.mark.parametrize(
    ("n", "right", "groups", "words"),
    [
        (39, 20, 10, "39 checked labels, expected at least 40"),
        (100, 100, 10, "0 of 100 checked labels are wrong.*fewer than 3.0% are wrong"),
        (100, 97, 10, "3 of 100 checked labels are wrong, expected at least 5"),
        (100, 2, 10, "2 of 100 checked labels are right, expected at least 5"),
        (100, 50, 1, "come from one scene, '0'"),
    ],
)
def test_too_little_to_learn_from_is_said_in_words(
    n: int, right: int, groups: int, words: str
) -> None:
    names = tuple(str(i % groups) for i in range(n))
    examples = Examples(features(n, score=0.5), ("car",) * n, np.arange(n) < right, names)
    with pytest.raises(RequestError, match=words) as caught:
        check(examples)
    assert caught.value.code == "trust.few_labels"


def test_the_line_is_the_loosest_that_holds_the_target() -> None:
    trusts = np.array([0.9, 0.8, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True, True])
    assert line_for(trusts, right, 0.75) == 0.6  # 4 of 5, though 2 of 3 at 0.8 does not hold it
    assert line_for(trusts, right, 0.9) == 0.9
    assert line_for(trusts, ~right, 0.9) == NOTHING
    assert line_for(trusts[:0], right[:0], 0.9) == NOTHING


def test_nineteen_of_twenty_are_ninety_five_percent() -> None:
    assert line_for(np.linspace(0, 1, 20), np.arange(20) > 0, 0.95) == 0.0


def test_labels_of_equal_trust_are_kept_together() -> None:
    assert line_for(np.array([0.5, 0.5]), np.array([True, False]), 0.9) == NOTHING


def test_shares_have_an_interval_over_groups() -> None:
    groups = np.repeat(np.arange(10), 10)
    whole = np.ones(100, bool)
    alike = share_of(np.arange(100) % 2 == 0, whole, groups)
    assert (alike.value, alike.low, alike.high) == (0.5, 0.5, 0.5)  # every group is half and half
    apart = share_of(groups < 5, whole, groups)
    assert apart.value == 0.5 and apart.low is not None and apart.high is not None
    assert apart.low < 0.3 and apart.high > 0.7
    assert share_of(whole, ~whole, groups) == Figure(None)
    assert share_of(whole, whole, groups * 0) == Figure(1.0, n=100)


def test_a_rare_class_gets_a_line_of_its_own_and_no_lower_than_it_needs() -> None:
    trusts = np.array([0.9, 0.8, 0.95, 0.6, 0.5, 0.4])
    names = ["car", "car", "van", "van", "van", "tram"]
    assert class_lines(trusts, names, 0.7, 2) == {"van": 0.6, "tram": 0.4}
    assert class_lines(trusts, names, 0.7, 0) == {}


def test_doubts_are_an_order_of_the_worse_first() -> None:
    table = features(3, score=[2, 1, 0], box_iou=[2, 1, np.nan], lost_share=[0, 0, 1])
    # ranks from the top, half for itself: score 1/6 3/6 5/6, box 1/4 3/4 -, lost 2/6 2/6 5/6
    expected = [(1 / 6 + 1 / 4 + 2 / 6) / 3, (3 / 6 + 3 / 4 + 2 / 6) / 3, (5 / 6 + 5 / 6) / 2]
    np.testing.assert_allclose(doubts(table), expected)


def test_judging_figures_by_hand() -> None:
    right = np.array([True, False, True, False])
    assert auroc(np.array([0.9, 0.1, 0.5, 0.5]), right) == (1 + 1 + 1 + 0.5) / 4
    assert calibration_error(np.full(20, 0.7), np.ones(20, bool)) == pytest.approx(0.3)
    wrong = np.arange(20) < 4
    assert review_gain(wrong.astype(float), ~wrong) == 5  # two looked at, both wrong, of 20 %
    assert np.isnan(review_gain(np.zeros(4), np.ones(4, bool)))


def test_a_model_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(model(target_precision=0.95, accept_from=0.8).model_dump_json())
    assert read_model(path) == model(target_precision=0.95, accept_from=0.8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "kind is 'list'"),
        ("{}", "kind is None, expected 'perception trust 1'"),
        ("terms", "feature 'colour' is none of this version"),
        ("scale", "terms.0.scale"),
        ("knots", "rising scores"),
        ("chances", "probabilities: expected values from 0 to 1"),
        ("NaN", "terms.0.weight"),
    ],
)
def test_a_trust_file_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    values = json.loads(model().model_dump_json())
    if text == "terms":
        values["terms"][0]["feature"] = "colour"
    elif text == "scale":
        values["terms"][0]["scale"] = 0
    elif text == "NaN":
        values["terms"][0]["weight"] = float("nan")
    elif text == "knots":
        values["calibration"] = {"kind": "isotonic", "scores": [1, 1], "probabilities": [0.1, 0.2]}
    elif text == "chances":
        values["calibration"] = {"kind": "isotonic", "scores": [1, 2], "probabilities": [0.1, 1.2]}
    path = tmp_path / "trust.json"
    changed = values != json.loads(model().model_dump_json())
    path.write_text(json.dumps(values) if changed else text)
    with pytest.raises(RequestError, match=words) as caught:
        read_model(path)
    assert caught.value.code == "trust.invalid"


def places(value: object, *way: object) -> list[tuple[object, ...]]:
    """Return the way to each value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[call-overload]
    found: list[tuple[object, ...]] = []
    for key, inner in items:
        found.append((*way, key))
        found += places(inner, *way, key) if isinstance(inner, dict | list) else []
    return found


@pytest.mark.parametrize("strange", ["missing", None, "1_000", "\u0663", [], {"van": {}}, 10**400])
def test_whatever_is_wrong_in_a_trust_file_is_one_sentence(tmp_path: Path, strange: object) -> None:
    values = json.loads(model().model_dump_json())
    path, refused = tmp_path / "trust.json", 0
    for *way, last in places(values):
        changed = json.loads(json.dumps(values))
        inner = changed
        for key in way:
            inner = inner[key]
        if strange == "missing":
            del inner[last]
        else:
            inner[last] = strange
        path.write_text(json.dumps(changed))
        try:
            found = read_model(path)
        except RequestError as error:
            refused += 1
            assert error.code == "trust.invalid" and "expected" in error.message
            assert "\n" not in error.message and len(error.message) < 500
        else:
            assert len(found.probabilities(features(2), ["car", "van"])) == 2
    assert refused > 8


def test_labels_on_the_line_are_above_it() -> None:
    n = 4
    masks = Masks(np.zeros((n, 4), np.int32), (b"",) * n, (9, 9))
    rows = replace(Instances.blank(n, (9, 9)), masks=masks, reasons=(("iou.low",),) * n)
    lined = model(accept_from=0.75, class_lines={"bus": 0.5})
    statuses, reasons = draw_line(
        lined,
        rows,
        np.array([0.75, 0.7499, 0.5, 0.4999]),
        np.ones(n, bool),
        ["car", "car", "bus", "bus"],
    )
    assert statuses.tolist() == [Status.ACCEPTED, Status.REVIEW, Status.ACCEPTED, Status.REVIEW]
    low = ("iou.low", "trust.low")
    assert reasons == ((), low, ("class.kept",), low)


def test_a_fit_is_judged_in_five_folds_of_whole_groups() -> None:
    examples, _ = sampled(400, groups=20)
    folds = _folds(examples)
    assert np.bincount(folds).tolist() == [80] * 5
    groups = examples.group_numbers()
    assert all(len(set(folds[groups == group])) == 1 for group in range(20))
    halves = Examples(  # five scenes all right, then five all wrong: one of each in every fold
        examples.features[:40],
        examples.class_names[:40],
        np.arange(40) < 20,
        tuple(str(i // 4) for i in range(40)),
    )
    folds = _folds(halves)
    assert np.bincount(folds[:20]).tolist() == np.bincount(folds[20:]).tolist() == [4] * 5
    few, _ = sampled(60, groups=3)
    assert len(set(_folds(few))) == 3  # fewer groups than folds


@pytest.mark.slow
def test_applying_needs_no_scikit_learn(python_path: object) -> None:
    code = (
        "import sys; import perception.execution.worker, perception.cli; "
        "print('sklearn' in sys.modules)"
    )
    env = {"PYTHONPATH": python_path()}  # type: ignore[operator]
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
