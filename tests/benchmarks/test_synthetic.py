"""`perception bench synthetic`: baselines on a street whose truth is drawn."""

import pytest

pytest.importorskip("open3d")

from perception.benchmarks import synthetic
from perception.models.fakes import BoxFiller
from perception_open3d.caster import load_caster

pytestmark = pytest.mark.slow


def test_baselines_are_ordered_as_they_know_more() -> None:
    found = synthetic.measure(synthetic.streets(load_caster(), 1, 1000), BoxFiller())
    assert found["objects"] > 10
    assert found["mask/truth"] == 1.0 and found["mask/sam"] == found["mask/box"] < 0.9
    assert found["points/box"] < found["points/box + depth"] < found["points/box + lift"]
    assert found["points/box + lift"] < found["points/truth + lift"] <= 1.0
    without = synthetic.measure(synthetic.streets(load_caster(), 1, 1000), None)
    assert without == {name: value for name, value in found.items() if "sam" not in name}
    report = synthetic.report(found)
    kept = {row.what: row.figure.value for row in report.rows}
    assert kept == {name: value for name, value in found.items() if "mask/truth" not in name}
    assert any(line.split() == ["objects", f"{found['objects']:g}"] for line in report.lines)
