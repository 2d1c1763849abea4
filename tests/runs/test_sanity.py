"""Warnings of detectors that are misread: many boxes of many classes, none, or none inside."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception import cli
from perception.core.types import Detections, Picture
from perception.labeling.pipeline import Models, observe
from perception.models.fakes import BoxFiller
from perception.runs import sanity
from perception.runs.shards import Tallies, add_tallies


class Finder:
    """Finds boxes of so many classes in turn, 10 px wide, from some place on."""

    def __init__(self, count: int, classes: int = 1, at_px: int = 0) -> None:
        self.class_names = tuple(f"c{i}" for i in range(classes))
        self._count, self._at_px = count, at_px

    def __call__(self, picture: Picture) -> Detections:
        box = np.array([self._at_px, 0, self._at_px + 10, 10], np.float32)
        return Detections(
            boxes_xyxy=np.tile(box, (self._count, 1)),
            scores=np.full(self._count, 0.9, np.float32),
            class_ids=np.arange(self._count, dtype=np.int32) % len(self.class_names),
            class_names=self.class_names,
        )


def tallied(*finders: Finder) -> Tallies:
    picture = Picture("", "a.png", np.zeros((40, 50, 3), np.uint8))
    total: Tallies = {}
    for finder in finders:
        for seen in observe((picture,), Models(finder, BoxFiller())):
            add_tallies(total, sanity.tally(seen))
    return total


FINE, NOTHING, OUTSIDE = Finder(3), Finder(0), Finder(2, at_px=60)
CROWD = Finder(100, 20)


@pytest.mark.parametrize(
    ("finders", "expected"),
    [
        ((), ()),
        ((FINE, NOTHING), ()),
        ((NOTHING,), ("no box was found on the only picture",)),
        ((NOTHING, NOTHING), ("no box was found on any of 2 pictures",)),
        ((FINE, OUTSIDE, NOTHING), ()),  # one of two: a box at the border is no fault
        ((FINE, OUTSIDE, OUTSIDE), ("on 2 of 3 pictures no box has an area inside",)),
        ((FINE, FINE, CROWD), ("1 of 3 pictures have 100 boxes or more, of 20 classes or more",)),
        ((Finder(99, 20), Finder(100, 19)), ()),
    ],
)
def test_what_is_doubted(finders: tuple[Finder, ...], expected: tuple[str, ...]) -> None:
    found = sanity.warnings(tallied(*finders))
    assert len(found) == len(expected)
    assert all(said.startswith(start) for said, start in zip(found, expected, strict=True))


def test_the_first_look_warns_once_and_not_before_it_has_seen_enough() -> None:
    look, one = sanity.FirstLook(), tallied(NOTHING)
    said = [look.add(one) for _ in range(sanity.EARLY + 5)]
    assert [place for place, words in enumerate(said) if words] == [sanity.EARLY - 1]
    assert sanity.FirstLook().add({}) == ()


@pytest.mark.slow
def test_a_run_says_its_doubts_and_ends_well(
    draw: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sanity, "EARLY", 2)
    for name in "abc":
        draw(tmp_path / "photos" / f"{name}.png")  # dark: the bright detector finds nothing
    arguments = ["label", str(tmp_path / "photos"), "--detector", "bright", "--segmenter", "boxes"]
    arguments += ["--out", str(tmp_path / "run")]
    assert cli.run(arguments) == cli.FINE
    told = capsys.readouterr()
    assert "warning: no box was found on any of 3 pictures" in told.out
    assert "note: no box was found on any of 3 pictures" in told.err
    assert cli.run([*arguments, "--json"]) == cli.FINE
    assert len(json.loads(capsys.readouterr().out)["warnings"]) == 1
