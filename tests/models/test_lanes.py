"""Several samples looked at side by side."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from perception.models.lanes import Lanes, Spares, Turn


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_turns_are_in_order_and_few_calls_are_in_hand(at_once: int) -> None:
    lanes, inside, turns, answered = Lanes[int](at_once), list[int](), list[int](), list[int]()

    def look(number: int, turn: Turn) -> int:
        time.sleep(0.002 * ((number * 7) % 5))  # later ones are often ready first
        if number % 4 != 3:  # whoever needs no turn holds nobody up
            with turn:
                turns.append(number)
                inside.append(number)
                assert len(inside) <= at_once
                time.sleep(0.002 * ((number * 3) % 5))
                inside.remove(number)
        answered.append(number)
        return number * 10

    answers = []
    for number in range(20):
        answers.append(lanes.hand(partial(look, number)))
        assert number + 1 - len(answered) <= at_once + 1
    assert [answer.result() for answer in answers] == [number * 10 for number in range(20)]
    assert turns == [number for number in range(20) if number % 4 != 3]


def test_turns_are_taken_at_the_same_time_and_the_rest_of_a_call_needs_none() -> None:
    lanes = Lanes[None](2)  # barriers break where one waits for the other in vain
    in_turn, after = threading.Barrier(2, timeout=10), threading.Barrier(2, timeout=10)

    def first(turn: Turn) -> None:
        with turn:
            in_turn.wait()
        after.wait()

    def second(turn: Turn) -> None:
        with turn:
            in_turn.wait()

    def third(turn: Turn) -> None:
        with turn:
            after.wait()

    for answer in [lanes.hand(call) for call in (first, second, third)]:
        answer.result()


def test_a_turn_that_a_fault_ends_goes_to_the_next() -> None:
    lanes = Lanes[float](1)

    def faulty(turn: Turn) -> float:
        with turn:
            return 1 / 0

    def fine(turn: Turn) -> float:
        with turn:
            return 1

    answers = [lanes.hand(call) for call in (faulty, fine)]
    assert answers[1].result() == 1
    with pytest.raises(ZeroDivisionError):
        answers[0].result()


def test_who_hands_calls_on_learns_of_a_fault_after_a_few() -> None:
    lanes = Lanes[float](1)
    lanes.hand(lambda turn: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        for _ in range(2):
            lanes.hand(lambda turn: 0.0)


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
