"""Several samples looked at side by side."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from perception.lanes import Lanes, Spares


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_few_calls_are_in_hand_at_once(threads: int) -> None:
    lanes, answered = Lanes[int](threads), list[int]()

    def look(number: int) -> int:
        time.sleep(0.002 * ((number * 7) % 5))  # later ones are often quicker
        answered.append(number)
        return number * 10

    answers = []
    for number in range(20):
        answers.append(lanes.hand(lambda number=number: look(number)))
        assert number + 1 - len(answered) <= threads
    assert [answer.result() for answer in answers] == [number * 10 for number in range(20)]


def test_lanes_look_at_the_same_time() -> None:
    lanes = Lanes[int](2)
    both = threading.Barrier(2, timeout=10)  # breaks where one waits for the other in vain
    assert sorted(answer.result() for answer in [lanes.hand(both.wait) for _ in "ab"]) == [0, 1]


def test_who_hands_calls_on_learns_of_a_fault_after_a_few() -> None:
    lanes = Lanes[float](2)
    faulty = lanes.hand(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        for _ in range(2):
            lanes.hand(float)
    with pytest.raises(ZeroDivisionError):
        faulty.result()


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
