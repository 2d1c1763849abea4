"""`perception bench ray`: small, on pictures that are drawn, with models that sleep."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.benchmarks import ray
from perception.core.errors import RequestError


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, python_path: Callable[..., str]) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path())


@pytest.mark.slow
def test_models_that_sleep_are_counted_once_all_are_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "SHARD", 2)
    found = ray.simulate("local", 2, 60)
    assert 0 < found.busy_share <= 1 and found.frames_per_s <= 2 / ray.GPU_S
    assert found.overhead_ms == pytest.approx(1000 * (2 / found.frames_per_s - ray.GPU_S))
    assert 0 < found.frames < 60 and found.start_s > 0 and found.end_s > 0
    assert len(found.parts_per_s) == 4
    assert found.growth == found.parts_per_s[-1] / found.parts_per_s[0]


@pytest.mark.parametrize("shards", [50, 53, 55])
def test_models_that_finish_together_and_keep_their_pace_do_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    """Four models, a shard of 8 each second, whole late in the first; later ones may take twice."""
    for pace, growth in ((1.0, 1.0), (2.0, 0.5)):
        line = [
            (0.01 * (i % 4) + i // 4 + max(0, i // 4 - 6) * (pace - 1) + 0.5 * (i < 4), 8)
            for i in range(shards)
        ]
        monkeypatch.setattr(ray, "_timeline", lambda run, line=line: line)
        timings = {"warm_unix_s": 0.535, "workers_seen": 4, "finished_unix_s": 99.0}
        timings |= {"driver_peak_bytes": 1, "worker_peak_bytes": 1}
        (tmp_path / "timings.json").write_text(json.dumps(timings))
        found = ray._measured(tmp_path, "local", 4, -1.0)
        assert found.growth == pytest.approx(growth, rel=0.02)
        assert found.parts_per_s[0] == pytest.approx(32, rel=0.02)
        assert found.start_s == pytest.approx(1.53)


@pytest.mark.slow
def test_too_few_frames_are_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "SHARD", 2)
    with pytest.raises(RequestError, match="use more --frames"):
        ray.simulate("local", 1, 2)


def test_pictures_are_copied_once_and_linked_after_that(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    pictures = [draw(tmp_path / "a.png"), draw(tmp_path / "b.jpg", (4, 4, 20, 20, 255))]
    ray.link(pictures, tmp_path / "src", 5)
    names = sorted(path.name for path in (tmp_path / "src").iterdir())
    assert names == ["000000.png", "000001.jpg", "000002.png", "000003.jpg", "000004.png"]
    first, last = ((tmp_path / "src" / name) for name in (names[0], names[4]))
    assert first.samefile(last) and not first.samefile(pictures[0])


@pytest.mark.slow
def test_two_workers_are_compared_with_one(
    tmp_path: Path, pictures: Callable[[Path, int], Path]
) -> None:
    models = ("--detector", "four-cars", "--segmenter", "sleep")
    found = ray.pair(pictures(tmp_path / "src", 3), 40, 1, "local", *models)
    assert len(found.one_per_s) == len(found.two_per_s) == 1
    assert found.ratio == pytest.approx(found.two_per_s[0] / found.one_per_s[0])
    with pytest.raises(RequestError, match=r"holds no \.png"):
        ray.pair(tmp_path, 4, 1, "local")


def test_a_core_feeds_as_many_gpus_as_it_decodes_frames() -> None:
    feed = ray.feed_rate(20)
    assert feed.gpus_per_core == pytest.approx(feed.per_s_and_core * ray.GPU_S)
