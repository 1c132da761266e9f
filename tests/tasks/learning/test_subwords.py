from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tasks.config import Pretrained
from tasks.errors import ConfigError
from tasks.learning import pretrained, subwords
from tasks.learning.encode import Encoder
from tasks.learning.subwords import SubwordInputs
from tasks.learning.targets import Labels

SETTINGS = Pretrained(model="tiny", length=6)


def texts(*values: str | None) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(values, dtype="str")})


def inputs(folder: Path, settings: Pretrained = SETTINGS) -> SubwordInputs:
    return pretrained.inputs(pretrained.find(str(folder)), settings, "text")


def test_ids_are_the_tokenizers_plus_one_and_padded_with_zeros(base_model: Path) -> None:
    (found,) = inputs(base_model).encode(texts("a good film !", "badly", "", None, "zzz"))
    assert found.dtype == "int32"
    assert found.tolist() == [
        [3, 8, 5, 7, 10, 4],
        [3, 6, 9, 4, 0, 0],
        [3, 4, 0, 0, 0, 0],
        [3, 4, 0, 0, 0, 0],
        [3, 2, 4, 0, 0, 0],
    ]


def test_longer_texts_are_cut_and_counted(base_model: Path) -> None:
    read = inputs(base_model)
    rows = texts("a good film !", "a good film ! !", "good " * 100_000, "bad")
    assert read.encode(rows)[0].shape == (4, 6)
    assert read.encode(rows)[0][1, 5] == 11 - 1, "cut between its marks, as many as fit"
    assert read.cut_share(rows) == 0.5
    assert read.cut_share(rows.iloc[:0]) == 0.0


def test_state_survives_json_and_needs_no_folder(base_model: Path) -> None:
    read = inputs(base_model)
    encoder = Encoder(read, Labels(("bad", "good"), (1, 1)))
    state = json.dumps(encoder.state())
    for file in base_model.iterdir():
        file.unlink()
    again = Encoder.restore(json.loads(state))
    assert again.inputs == read
    assert again.state_hash == encoder.state_hash
    rows = texts("a bad film")
    assert (again.inputs.encode(rows)[0] == read.encode(rows)[0]).all()


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subwords, "find_spec", lambda name: None)
    said = "transformers and tokenizers can't be imported; run `make text`"
    with pytest.raises(ConfigError, match=said):
        pretrained.find(".")
    with pytest.raises(ConfigError, match=said):
        SubwordInputs("text", '{"made": "of test"}', {}, 6, {}).encode(texts("a"))
