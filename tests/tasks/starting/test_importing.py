"""The garbage collector rests while much is imported, and works after it."""

from __future__ import annotations

import gc

import pytest

from tasks.starting.importing import undisturbed


def test_it_rests_and_works_again_whatever_ends_the_block() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ImportError), undisturbed():
        assert not gc.isenabled()
        kept = [[] for _ in range(100)]
        with undisturbed():  # an inner block does not end the outer one
            pass
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_who_switched_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with undisturbed():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
