"""Memory that is free but kept by the allocator goes back."""

from __future__ import annotations

import ctypes
import sys

import psutil
import pytest

from tasks.tables.mapping import mapped, memory

MIB = 2**20


def held() -> float:
    return psutil.Process().memory_info().rss / MIB


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")),
    reason="glibc keeps freed memory; how others do is theirs",
)
def test_what_is_free_between_what_stays_goes_back() -> None:
    blocks = [bytes(2000) for _ in range(100_000)]
    stays = blocks[::100]
    full = held()
    del blocks
    assert full - held() < 100, "freed, but not given back"
    memory.give_back()
    assert full - held() > 100
    assert len(stays) == 1000


def test_a_pass_gives_back_once_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(memory, "give_back", lambda: done.append("given"))
    for answer in mapped(str, [1, 2]):
        done.append(answer)
    assert done == ["1", "2", "given"]
