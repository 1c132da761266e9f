from __future__ import annotations

from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tasks.config import Pretrained
from tasks.errors import ConfigError, DataFormatError, Unavailable, UnsafeInput
from tasks.learning import pretrained
from tasks.learning.subwords import SubwordInputs


def inputs(folder: Path, length: int = 6) -> SubwordInputs:
    return pretrained.inputs(pretrained.find(str(folder)), Pretrained(length=length), "text")


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
    assert inputs(base_model, 24).length == 24
    with pytest.raises(ConfigError, match="tiny reads at most 24 subwords"):
        inputs(base_model, 25)


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
