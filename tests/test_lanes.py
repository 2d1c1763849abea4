"""Several samples looked at side by side."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from perception.lanes import Spares, side_by_side


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_answers_come_in_the_order_of_the_calls(lanes: int, count: int) -> None:
    def look(number: int) -> int:
        time.sleep(0.002 * ((number * 7) % 5))  # later ones are often quicker
        return number * 10

    calls = [partial(look, number) for number in range(count)]
    assert list(side_by_side(calls, lanes)) == [number * 10 for number in range(count)]


@pytest.mark.parametrize("lanes", [2, 3])
def test_few_calls_are_in_hand_at_once(lanes: int) -> None:
    taken = answered = 0

    def calls() -> Iterator[Callable[[], int]]:
        nonlocal taken
        for number in range(20):
            taken += 1
            assert taken - answered <= lanes + 1
            yield lambda number=number: number

    for _ in side_by_side(calls(), lanes):
        answered += 1
    assert taken == answered == 20


def test_lanes_look_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)  # breaks where one waits for the other in vain
    assert sorted(side_by_side([both.wait, both.wait], 2)) == [0, 1]


def test_one_lane_looks_in_the_callers_thread() -> None:
    here = threading.get_ident()
    assert list(side_by_side([threading.get_ident] * 2, 1)) == [here, here]
    assert here not in set(side_by_side([threading.get_ident] * 2, 2))


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_fault_shows_in_the_place_of_its_call(lanes: int) -> None:
    def look(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    answers = side_by_side([partial(look, number) for number in range(5)], lanes)
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(answers)


def test_a_spare_is_used_by_one_thread_at_a_time() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    spares, in_use = Spares(make), set[int]()

    def use(_: int) -> None:
        thing = spares.take()
        assert id(thing) not in in_use
        in_use.add(id(thing))
        time.sleep(0.001)
        in_use.remove(id(thing))
        spares.give_back(thing)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(use, range(60)))
    assert 1 <= len(made) <= 3
