from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pandas as pd
import pytest

from tasks.config import Pretrained
from tasks.errors import ConfigError, DataFormatError, ModelyardError, Unavailable, UnsafeInput
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


def test_what_the_base_model_is_goes_with_it(base_model: Path) -> None:
    base = pretrained.find(str(base_model))
    assert inputs(base_model).base == {"name": "tiny", "licence": "apache-2.0", "sha256": base.sha256}
    (base_model / "README.md").unlink()
    assert pretrained.find(str(base_model)).licence == "unknown"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_every_byte_that_is_read_is_in_the_digest(base_model: Path, name: str) -> None:
    before = pretrained.identity(str(base_model))
    content = (base_model / name).read_bytes()
    (base_model / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert pretrained.identity(str(base_model)) != before


def test_pickled_weights_are_refused_unread(base_model: Path) -> None:
    (base_model / "model.safetensors").rename(base_model / "pytorch_model.bin")
    with pytest.raises(UnsafeInput, match=r"pickled weights only.*save_pretrained"):
        pretrained.find(str(base_model))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_is_missing_is_named(base_model: Path, name: str) -> None:
    (base_model / name).unlink()
    with pytest.raises(DataFormatError, match=f"{name} missing"):
        pretrained.find(str(base_model))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "can't be read"),
        ("config.json", "[]", "no model_type"),
        ("config.json", '{"model_type": "bert", "vocab_size": 9}', "10 ids, its config.json 9"),
        ("tokenizer.json", "{}", "tokenizer.json is not what it should be"),
        ("tokenizer.json", "[" * 100_000, "can't be read"),
    ],
)
def test_broken_files_are_refused_in_words(base_model: Path, name: str, content: str, said: str) -> None:
    (base_model / name).write_text(content)
    with pytest.raises(DataFormatError, match=said):
        inputs(base_model)


def test_no_more_is_read_than_the_model_can(base_model: Path) -> None:
    assert inputs(base_model, Pretrained(length=24)).length == 24
    with pytest.raises(ConfigError, match="tiny reads at most 24 subwords"):
        inputs(base_model, Pretrained(length=25))


def test_an_installed_package_may_carry_the_model(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "carrier-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.4\nName: carrier\nVersion: 1.0\nLicense: MIT\n")
    listed = ["carrier/__init__.py", *(f"tiny/{path.name}" for path in base_model.iterdir())]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    monkeypatch.setattr(pretrained, "distribution", lambda name: PathDistribution(about))
    base = pretrained.find("carrier")
    assert (base.folder, base.name, base.licence) == (base_model, "carrier 1.0", "apache-2.0")
    (base_model / "README.md").unlink()
    assert pretrained.find("carrier").licence == "MIT"
    (base_model / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="package carrier carries no model"):
        pretrained.find("carrier")


def test_a_name_that_is_nothing_says_what_could_be_given(base_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"'nowhere-of-test' is neither a folder nor.*make text.*hub:"):
        pretrained.find("nowhere-of-test")


def test_the_hub_is_asked_only_by_name_and_not_at_all_offline(
    base_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match=r"can't be fetched.*HF_HUB_OFFLINE"):
        pretrained.find("hub:owner-of-test/model")
    asked: list[object] = []
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, **how: asked.append((name, how["revision"])) or str(base_model)
    )
    assert pretrained.find("hub:owner/model@abc").name == "owner/model@abc"
    assert asked == [("owner/model", "abc")]
    assert not any(pattern.endswith((".bin", ".py")) or pattern == "*" for pattern in pretrained.WANTED)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subwords, "find_spec", lambda name: None)
    state = SubwordInputs("text", "{}", {}, 6, {})
    for ask in (lambda: pretrained.find(os.curdir), lambda: replace(state).encode(texts("a"))):
        with pytest.raises(
            ModelyardError, match="transformers and tokenizers can't be imported; run `make text`"
        ):
            ask()
