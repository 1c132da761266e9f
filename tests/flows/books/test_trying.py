from __future__ import annotations

from flows.books.trying import _undisturbed
from tasks.config import Cnn, Mlp, Rnn


def test_what_holds_a_network_back_is_taken_away_and_nothing_else() -> None:
    assert _undisturbed(Mlp(hidden=(7,), dropout=0.4)) == Mlp(hidden=(7,), dropout=0.0)
    assert _undisturbed(Rnn()) == Rnn(dropout=0.0, word_dropout=0.0)
    assert _undisturbed(Cnn(fold=False, mirror=True)) == Cnn(fold=False, mirror=False)
