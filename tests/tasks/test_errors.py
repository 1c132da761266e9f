"""The error hierarchy: codes, one clear line, safe to carry between threads and processes."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_the_drawn_tree_is_the_real_one():
    drawn = {
        line.split("──")[-1].split()[0]: int(line.split("──")[-1].split()[1])
        for line in errors.__doc__.splitlines()
        if "──" in line
    }
    assert drawn == {
        kind.__name__: kind.exit_code
        for kind in KINDS
        if kind is not errors.ModelyardError and kind.__name__ in drawn
    }
    assert set(drawn) == {kind.__name__ for kind in KINDS} - {"ModelyardError"}
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_with_its_fix(kind):
    back = pickle.loads(pickle.dumps(kind("it broke", fix="mend it")))
    assert type(back) is kind
    assert (back.message, back.fix, str(back)) == ("it broke", "mend it", "it broke; mend it")
    assert str(kind("it broke")) == "it broke"


@given(st.one_of(st.text(max_size=300), st.integers(), st.binary(max_size=99), st.lists(st.text(max_size=9))))
def test_a_quoted_value_is_one_short_line_without_control_characters(value):
    text = errors.quoted(value)
    assert len(text) <= errors.VALUE_LIMIT
    assert text.isprintable()


def test_terminal_escapes_are_shown_not_run():
    assert errors.quoted("\x1b[31mred\n") == r"'\x1b[31mred\n'"


def test_the_nearest_name_or_all_or_none():
    assert errors.did_you_mean("leraning", ["epochs", "learning"]) == "did you mean 'learning'?"
    assert errors.did_you_mean("x", ["epochs", "seed"]) == "known: epochs, seed"
    assert errors.did_you_mean("x", map(str, range(20))).endswith("11, …")
    assert errors.did_you_mean("x", []) == "there are none"
