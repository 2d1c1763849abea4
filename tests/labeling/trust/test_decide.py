"""A trust model in a run: what it accepts, what it sends to review, and what it leaves alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.commands import corrections, hygiene
from perception.commands.label import label
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.commands.results import read_labels
from perception.core.errors import RequestError
from perception.core.types import Instances, Status
from perception.labeling.trust.features import log_odds
from perception.labeling.trust.model import Curve, Fitted, Term, TrustModel
from perception.runs.folder import read_spec


@pytest.fixture
def run(tmp_path: Path, pictures: Callable[[Path, int], Path]) -> Path:
    source = pictures(tmp_path / "pictures", 6)
    return label(LabelRequest(str(source), tmp_path / "run", "boxes", "bright")).folder


def trust_file(path: Path, line: float | None, weight: float = 1.0) -> str:
    """Write a model that takes the detector's score for the probability."""
    model = TrustModel(
        right_iou=0.75,
        bias=0,
        terms=(Term(feature="score", centre=0, scale=1, weight=weight),),
        class_offsets={},
        calibration=Curve(kind="logistic"),
        fitted=Fitted(labels=1, right=1, groups=1, classes={}, log_loss=0),
        target_precision=None if line is None else 0.95,
        accept_from=line,
    )
    path.write_text(model.model_dump_json())
    return str(path)


def all_instances(run: Path) -> list[Instances]:
    return [picture.instances for one in read_labels(run) for picture in one.pictures]


@pytest.mark.slow
def test_every_label_gets_its_probability_and_without_a_line_keeps_its_status(
    run: Path, tmp_path: Path
) -> None:
    before = all_instances(run)
    relabel(run, trust=trust_file(tmp_path / "t.json", None))
    for old, new in zip(before, all_instances(run), strict=True):
        expected = 1 / (1 + np.exp(-log_odds(new.scores)))
        np.testing.assert_allclose(new.trusts, expected, atol=1e-6)
        assert new.statuses.tolist() == old.statuses.tolist() and new.reasons == old.reasons


@pytest.mark.slow
def test_the_line_sends_to_review_what_is_below_and_none_takes_it_away(
    run: Path, tmp_path: Path
) -> None:
    relabel(run, trust=trust_file(tmp_path / "t.json", 0.9))
    rows = all_instances(run)
    for found in rows:
        below = found.trusts < 0.9
        assert (found.statuses == np.where(below, Status.REVIEW, Status.ACCEPTED)).all()
        assert all(("trust.low" in r) == b for r, b in zip(found.reasons, below, strict=True))
    assert sum(len(found) for found in rows) == 6
    assert sum(int((found.trusts < 0.9).sum()) for found in rows) == 2  # the darker ones
    relabel(run, trust="none")
    assert all(np.isnan(found.trusts).all() for found in all_instances(run))
    assert all((found.statuses == Status.ACCEPTED).all() for found in all_instances(run))


@pytest.mark.slow
def test_what_the_thresholds_doubt_is_accepted_if_the_model_does_not(
    run: Path, tmp_path: Path
) -> None:
    doubt = {"decide": {"judge": {"review_predicted_iou": 1.5, "min_score": 0.9}}}
    relabel(run, overrides=doubt)
    assert {tuple(f.statuses) for f in all_instances(run)} <= {(), (1,), (1, 2)}
    relabel(run, trust=trust_file(tmp_path / "t.json", 0.5))
    found = [f for f in all_instances(run) if len(f)]
    assert {tuple(f.statuses) for f in found} == {(0,), (0, 2)}  # what is rejected stays so
    assert {f.reasons[0] for f in found} == {()}
    assert all(np.isnan(f.trusts[1:]).all() for f in found)


@pytest.mark.slow
def test_a_rare_class_keeps_its_best_and_says_so(run: Path, tmp_path: Path) -> None:
    trust = trust_file(tmp_path / "t.json", 0.995)  # the scores are clamped to 0.99
    relabel(run, trust=trust, keep_per_class=4)
    rows = all_instances(run)
    kept = sorted(r for f in rows for r, s in zip(f.reasons, f.statuses, strict=True) if s == 0)
    assert kept == [("class.kept",)] * 4
    with pytest.raises(RequestError, match="--target-precision"):
        relabel(run, trust="none", keep_per_class=4)


@pytest.mark.slow
def test_what_people_reject_does_not_lower_the_line_of_a_rare_class(
    run: Path, tmp_path: Path
) -> None:
    """Its trust is 0: taken for a label to keep, it would let in every other label of its class."""
    trust = trust_file(tmp_path / "t.json", 0.995)
    relabel(run, trust=trust)
    spec = read_spec(run)
    rejected = {"sample": "001.png", "instance": 1, "decision": "reject"}
    document = {
        "run": spec.evidence_fingerprint(),
        "label_set": spec.label_set(),
        "decisions": [rejected],
    }
    (tmp_path / "decisions.json").write_text(json.dumps(document))
    corrections.apply(run, tmp_path / "decisions.json")
    spec = read_spec(run)
    lowered = hygiene.with_floor(run, spec, 6).trust
    trusts = np.concatenate([found.trusts for found in all_instances(run)])
    assert sorted(trusts)[0] == 0.0 and len(trusts) == 6
    assert lowered is not None
    assert lowered.class_lines == {"car": pytest.approx(sorted(trusts)[1])}


@pytest.mark.slow
def test_the_mix_of_classes_is_counted_before_and_after_each_gate(
    run: Path, tmp_path: Path
) -> None:
    relabel(run, overrides={"decide": {"judge": {"min_score": 0.9}}})
    passed = hygiene.class_mix(run).passed
    assert passed == {
        "found": {"car": 6},
        "judged": {"car": 4},
        "one each": {"car": 4},
        "people": {"car": 4},
        "accepted": {"car": 4},
    }
    assert "4 (100.0%)" in hygiene.class_mix(run).lines()[1]


@pytest.mark.slow
def test_a_new_run_can_begin_with_a_trust_model(
    tmp_path: Path, pictures: Callable[[Path, int], Path]
) -> None:
    trust = trust_file(tmp_path / "t.json", 0.9)
    source = pictures(tmp_path / "pictures", 3)
    request = LabelRequest(
        str(source), tmp_path / "run", "boxes", "bright", second="grabcut", trust=trust
    )
    run = label(request).folder
    found = all_instances(run)[2]
    assert found.statuses.tolist() == [Status.ACCEPTED, Status.REVIEW]
    assert np.isfinite(found.signals.second_ious).all()
    assert read_spec(run).trust is not None
