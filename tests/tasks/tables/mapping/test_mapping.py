"""The seam: answers in order, few ahead, errors as they are; and the same bits whoever works."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.errors import DataRejected, ResourceLimit
from tasks.tables.mapping import in_order, mapped, processes, through


def square(number):
    return number * number


def refuse(number):
    if number == 3:
        raise DataRejected("three", fix="take two")
    return number


def die(number):
    os._exit(number)


def test_without_an_engine_this_process_works_one_after_the_other():
    seen = []
    for answer in mapped(lambda number: (number, threading.get_ident()), iter(range(3))):
        seen.append(answer)
    assert seen == [(number, threading.get_ident()) for number in range(3)]
    assert next(mapped(square, iter([5, "never reached"]))) == 25


def test_an_engine_works_within_its_block_only():
    def engine(function, items):
        return iter(["another"])

    with through(engine):
        assert list(mapped(square, [1, 2])) == ["another"]
        with through(None):
            assert list(mapped(square, [1, 2])) == [1, 4]
    assert list(mapped(square, [1, 2])) == [1, 4]


def test_answers_keep_their_order_and_few_items_are_ahead():
    taken, gates = [], [threading.Event() for _ in range(9)]

    def items():
        for number in range(9):
            taken.append(number)
            yield number

    def late(number):  # the first one of three is done last
        if number % 3:
            gates[number - number % 3].set()
        else:
            gates[number].wait(10)
        return number

    with ThreadPoolExecutor(3) as threads:
        answers = in_order(
            lambda item: threads.submit(late, item), items(), 3, lambda future: future.result()
        )
        assert next(answers) == 0
        assert taken == [0, 1, 2]
        assert list(answers) == list(range(1, 9))


def test_processes_answer_in_order_and_pass_errors_on(own_code_first):
    with processes.pool(2) as engine:
        assert list(engine(square, range(20))) == [square(number) for number in range(20)]
        with pytest.raises(DataRejected, match="three; take two"):
            list(engine(refuse, range(20)))


def test_a_process_that_is_killed_is_told_in_words(own_code_first):
    with pytest.raises(ResourceLimit, match=r"was killed.*cluster\.workers"), processes.pool(1) as engine:
        list(engine(die, [9]))
