"""Pace and time left, worked by hand."""

import pytest

from perception.core.progress import Pace, clock, rate


@pytest.mark.parametrize(
    ("told", "now_s", "total", "per_s", "left_s"),
    [
        ([], 5, 10, None, None),
        ([(0, 0)], 5, 10, None, None),  # nothing is done yet
        ([(0, 0), (4, 2)], 4, 10, 0.5, 16),
        ([(0, 3), (4, 5)], 4, 11, 0.5, 12),  # what was there before costs nothing
        ([(0, 0), (4, 2)], 6, 10, 0.5, 16),  # the next is not late yet
        ([(0, 0), (4, 2)], 10, 10, 0.25, 32),  # 4 s late: 2 in 8 s
        ([(0, 0), (2, 1), (4, 2), (4, 2)], 4, 2, 0.5, 0),
        ([(0, 0), (4, 2), (5, 0), (6, 1)], 6, 3, 1, 2),  # begun anew
        # of 100 s at 0.1/s only the last half minute counts, then 1/s
        ([(0, 0), (50, 5), (90, 9), (91, 10), (125, 44)], 125, 54, 1, 10),
    ],
)
def test_the_pace_is_that_of_the_last_half_minute(
    told: list[tuple[float, int]],
    now_s: float,
    total: int,
    per_s: float | None,
    left_s: float | None,
) -> None:
    pace = Pace()
    for at_s, done in told:
        pace.add(at_s, done)
    assert pace.per_s(now_s) == (None if per_s is None else pytest.approx(per_s))
    if told:
        assert pace.left_s(now_s, total) == (None if left_s is None else pytest.approx(left_s))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (35.4, "0:35"), (59.6, "1:00"), (3723, "1:02:03")]
)
def test_durations_are_those_of_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(("per_s", "text"), [(12.4, "12/s"), (0.83, "0.83/s"), (0.05, "3/min")])
def test_slow_things_are_counted_by_the_minute(per_s: float, text: str) -> None:
    assert rate(per_s) == text
