"""A fit that starts from an earlier one: few labels lean on it, many overrule it."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception import cli
from perception.benchmarks.trust import judge
from perception.commands import corrections
from perception.commands.label import label
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.commands.results import read_labels
from perception.commands.trust import Checked
from perception.labeling.trust.design import Design, choose
from perception.labeling.trust.features import FEATURES
from perception.labeling.trust.fit import Examples, fit, log_losses
from perception.labeling.trust.model import (
    Curve,
    Fitted,
    Term,
    TrustModel,
    Weights,
    read_model,
)
from perception.labeling.trust.regression import logistic
from perception.runs.folder import read_spec

SCENES = 12


def sampled(
    n: int, seed: int, weights: dict[str, float], name: str = "car", bias: float = 0.0
) -> Examples:
    """Draw labels whose log-odds are a bias and weights times standard normal signals."""
    rng = np.random.default_rng(seed)
    table = np.full((n, len(FEATURES)), np.nan)
    odds = np.full(n, bias)
    for feature, weight in weights.items():
        values = rng.normal(size=n)
        table[:, list(FEATURES).index(feature)] = values
        odds += weight * values
    right = rng.random(n) < 1 / (1 + np.exp(-odds))
    return Examples(table, (name,) * n, right, tuple(str(i % SCENES) for i in range(n)))


def loss(model: TrustModel, examples: Examples) -> float:
    found = model.probabilities(examples.features, list(examples.class_names))
    return float(log_losses(found.astype(np.float64), examples.right).mean())


def weights_of(model: Weights) -> dict[str, float]:
    return {term.feature: term.weight / term.scale for term in model.terms}


# what six signals say, none of them much
SIX = dict.fromkeys(("score", "stability", "box_iou", "fill", "crowding", "contrast"), 0.8)


def test_a_regression_adds_to_its_offsets_and_a_strong_pull_leaves_them() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 3))
    right = rng.random(300) < 1 / (1 + np.exp(-matrix @ [1, -2, 0.5]))
    expected = LogisticRegression(C=0.1, tol=1e-10).fit(matrix, right)
    columns, bias = logistic(matrix, right, 0.1)
    np.testing.assert_allclose(columns, expected.coef_[0], atol=1e-5)
    assert bias == pytest.approx(expected.intercept_[0], abs=1e-5)
    start = np.array([3.0, 1, -1])
    free, _ = logistic(matrix, right, 1e6, matrix @ start)
    np.testing.assert_allclose(start + free, logistic(matrix, right, 1e6)[0], atol=1e-3)
    held, _ = logistic(matrix, right, 1e-6, matrix @ start)
    np.testing.assert_allclose(held, 0, atol=1e-3)


def test_a_regression_that_starts_far_off_ends_where_its_sum_is_least() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 2))
    right = rng.random(300) < 1 / (1 + np.exp(-matrix @ [1, -1]))
    start = matrix @ [-5, 5]  # sure, and the reverse of what is right
    columns, bias = logistic(matrix, right, 1.0, start)
    too_sure = 1 / (1 + np.exp(-(start + matrix @ columns + bias))) - right
    np.testing.assert_allclose(matrix.T @ too_sure + columns, 0, atol=1e-3)  # the sum's slopes
    assert too_sure.sum() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("right", "odds"), [(True, 7), (False, 1 / 7)])
def test_labels_that_are_all_alike_give_weight_to_no_column(right: bool, odds: float) -> None:
    # 3.5 right to half a wrong one, or the reverse; the offsets have said 2 of it
    found = logistic(np.eye(3, 2), np.full(3, right), 1.0, np.array([1.0, 2, 3]))
    assert found[0].tolist() == [0, 0]
    assert found[1] == pytest.approx(np.log(odds) - 2)


def test_columns_are_added_to_the_priors_terms_by_hand() -> None:
    prior = Weights(
        bias=1,
        terms=(
            Term(feature="size", centre=2, scale=4, weight=3, by_class={"bus": -1}),
            Term(feature="fill", centre=0, scale=1, weight=7),
        ),
        class_offsets={"bus": 5},
    )
    design = Design(("size", "wobble"), (2, 0), (4, 1), ("bus", "car"), prior)
    # size, wobble; bus, car; size of a bus, of a car
    found = design.weights(np.array([0.5, 0.25, 1, 2, 10, 20]), 0.125)
    assert found == Weights(
        bias=1.125,
        terms=(
            Term(feature="size", centre=2, scale=4, weight=3.5, by_class={"bus": 9, "car": 20}),
            Term(feature="fill", centre=0, scale=1, weight=7),
            Term(feature="wobble", centre=0, scale=1, weight=0.25, by_class={}),
        ),
        class_offsets={"bus": 6, "car": 2},
    )


def test_signals_of_the_prior_are_scaled_as_it_scales_them() -> None:
    prior = Weights(
        bias=0,
        terms=(Term(feature="score", centre=9, scale=7, weight=1),),
        class_offsets={},
    )
    examples = sampled(50, 0, {"score": 1.0, "wobble": 1.0})
    found = choose(examples.features, examples.class_names, tuple(FEATURES), prior)
    assert found.features == ("score", "wobble")
    assert found.centres[0] == 9 and found.scales[0] == 7
    assert abs(found.centres[1]) < 1 and 0.5 < found.scales[1] < 2


def test_what_is_merged_says_what_start_and_columns_say() -> None:
    prior = fit(sampled(400, 0, SIX, "van"), 0.75).model
    examples = sampled(100, 1, SIX | {"wobble": 1.0})
    design = Design(("score", "wobble"), (9, 0), (9, 1), ("car",), None)
    columns = np.array([1.0, 2, 3, 4])
    matrix = design.matrix(examples.features, examples.class_names)
    alone = design.weights(columns, 0.5).scores(examples.features, list(examples.class_names))
    np.testing.assert_allclose(alone, matrix @ columns + 0.5)
    term = next(term for term in prior.terms if term.feature == "score")
    design = Design(("score", "wobble"), (term.centre, 0), (term.scale, 1), ("car",), prior)
    names = list(examples.class_names)
    matrix = design.matrix(examples.features, examples.class_names)
    np.testing.assert_allclose(
        design.weights(columns, 0.5).scores(examples.features, names),
        prior.scores(examples.features, names) + matrix @ columns + 0.5,
    )


def test_few_labels_say_more_with_a_prior_of_the_same_signals() -> None:
    prior = fit(sampled(3000, 0, SIX), 0.75).model
    unseen = sampled(3000, 1, SIX, bias=1.0)
    gains, moved = [], []
    for seed in range(2, 8):
        few = sampled(60, seed, SIX, bias=1.0)
        begun = fit(few, 0.75, prior=prior)
        assert begun.model.fitted.labels == len(begun.held_out) == 60
        gains.append(loss(fit(few, 0.75).model, unseen) - loss(begun.model, unseen))
        moved.append(loss(prior, unseen) - loss(begun.model, unseen))
    assert np.mean(gains) > 0.02
    assert np.mean(moved) > 0.02  # their rate is another than the prior's


def test_many_labels_overrule_a_prior_that_is_wrong() -> None:
    prior = fit(sampled(2000, 0, SIX), 0.75).model
    other = SIX | {"fill": -1.5, "score": 2.0}
    many, unseen = sampled(2000, 1, other), sampled(3000, 2, other)
    found = fit(many, 0.75, prior=prior).model
    assert loss(found, unseen) < loss(fit(many, 0.75).model, unseen) + 0.01
    assert weights_of(found)["fill"] < -1


def test_a_prior_that_says_the_reverse_of_few_labels_does_not_make_them_worse_than_their_rate() -> (
    None
):
    prior = fit(sampled(2000, 0, {"score": -3.0}), 0.75).model
    few, unseen = sampled(60, 1, {"score": 3.0}), sampled(3000, 2, {"score": 3.0})
    assert loss(fit(few, 0.75, prior=prior).model, unseen) < np.log(2) + 0.02


def test_signals_and_classes_of_one_side_only_are_kept_and_harm_no_label_that_lacks_them() -> None:
    prior = fit(sampled(2000, 0, {"score": 1.0, "depth_share": 2.0}, "van"), 0.75).model
    few = sampled(200, 1, {"score": 1.0, "wobble": 2.5})
    found = fit(few, 0.75, prior=prior).model
    before, after = weights_of(prior), weights_of(found)
    assert set(after) == {"score", "depth_share", "wobble"}
    assert after["depth_share"] == before["depth_share"] and after["wobble"] > 0.5
    assert found.class_offsets["van"] == prior.class_offsets["van"]
    assert "car" in found.class_offsets


@pytest.mark.slow
def test_the_judge_starts_each_fit_from_the_prior_and_no_score() -> None:
    prior = fit(sampled(3000, 0, SIX), 0.75).model
    examples = sampled(160, 1, SIX)
    checked = Checked(examples, np.ones(160, bool), ())
    alone = judge(checked, splits=2, target=0.9, right_iou=0.75, seed=0)
    begun = judge(checked, splits=2, target=0.9, right_iou=0.75, seed=0, prior=prior)
    assert begun.log_loss < alone.log_loss - 0.02
    assert begun.log_loss_single == alone.log_loss_single


@pytest.fixture
def decided(tmp_path: Path, pictures: Callable[[Path, int], Path]) -> tuple[Path, Path]:
    """A run of 48 labels, 16 of them wrong by what people decided."""
    source = pictures(tmp_path / "pictures", 48)  # 0, 1 and 2 objects in turn
    run = label(LabelRequest(str(source), tmp_path / "run", "boxes", "bright")).folder
    spec = read_spec(run)
    rows = [
        {"sample": one.id, "instance": int(i), "decision": "accept" if i == 1 else "reject"}
        for one in read_labels(run)
        for i in one.pictures[0].instances.instance_ids
    ]
    head = {"run": spec.evidence_fingerprint(), "label_set": spec.label_set()}
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(head | {"decisions": rows}))
    return run, path


def prior_file(path: Path, **changes: object) -> Path:
    values = {
        "right_iou": 0.75,
        "bias": 0.0,
        "terms": (Term(feature="score", centre=0, scale=1, weight=1),),
        "class_offsets": {},
        "calibration": Curve(kind="logistic"),
        "fitted": Fitted(
            labels=900, right=1, groups=1, classes={}, log_loss=0, sources=("abc truth",)
        ),
    }
    path.write_text(TrustModel(**(values | changes)).model_dump_json())  # type: ignore[arg-type]
    return path


@pytest.mark.slow
def test_a_file_says_what_prior_it_rests_on_and_a_run_takes_it_alone(
    decided: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, checked = decided
    prior, out = prior_file(tmp_path / "prior.json"), tmp_path / "trust.json"
    sha256 = hashlib.sha256(prior.read_bytes()).hexdigest()
    tokens = ["trust", "fit", str(run), "--checked", str(checked), "--prior", str(prior)]
    assert cli.run([*tokens, "--target-precision", "0.9", "--out", str(out)]) == 0
    assert f"from the prior {sha256[:12]}" in capsys.readouterr().out
    fitted = read_model(out).fitted
    assert fitted.prior == sha256 and fitted.labels == 48
    assert fitted.sources[1:] == ("abc truth",) and fitted.sources[0].endswith(" checked")
    prior.unlink()  # what it says is in the file
    relabel(run, trust=str(out))
    trusts = next(one for one in read_labels(run) if one.id == "047.png").pictures[0]
    assert trusts.instances.trusts[0] > 0.8 > 0.2 > trusts.instances.trusts[1]
    assert "trust stays: its fit began with the prior" in corrections.apply(run, checked).trust


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"right_iou": 0.5}, "right_iou is 0.5, expected 0.75.*the same --iou"),
        ({"fitted": "same"}, "checked', expected none of the runs that are fitted now"),
    ],
)
def test_a_prior_of_another_question_or_of_the_same_labels_is_refused(
    decided: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    words: str,
) -> None:
    run, checked = decided
    if "fitted" in changes:
        sources = (f"{read_spec(run).evidence_fingerprint()[:12]} checked",)
        changes = {
            "fitted": Fitted(labels=1, right=1, groups=1, classes={}, log_loss=0, sources=sources)
        }
    prior, out = prior_file(tmp_path / "prior.json", **changes), tmp_path / "trust.json"
    tokens = ["trust", "fit", str(run), "--checked", str(checked), "--prior", str(prior)]
    assert cli.run([*tokens, "--out", str(out), "--json"]) == 2
    said = capsys.readouterr()
    assert re.search(words, said.out + said.err) and not out.exists()
    assert "trust.mismatch" in said.out + said.err
