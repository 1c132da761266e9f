"""Finding and reading projects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from tasks.config import presets
from tasks.config.data import LINES, PICTURES, TEXTS, IdxSource, ImagesSource, TableSource, TextsSource
from tasks.config.explain import validated
from tasks.config.learning import Pretrained
from tasks.config.schema import Config
from tasks.config.settings import root_settings
from tasks.config.strict_yaml import parse
from tasks.errors import ConfigError, UnsafeInput, did_you_mean, quoted
from tasks.own import extension

MAX_YAML_BYTES = 256 * 1024


@dataclass(frozen=True)
class Project:
    """A loaded project.

    Attributes:
        config: Its settings, with the preset and the command line's assignments laid over its file.
        folder: Where it lives.
        presets: Sections by the preset's name, as they stand in its file.
        settings: Assignments of the command line.
        source: Data that replaces the project's own.
    """

    config: Config
    folder: Path
    presets: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    source: Path | None = None

    @property
    def work(self) -> Path:
        """Where steps keep their outputs; may be deleted at any time."""
        return self.folder / "work"


def look_in(root: Path) -> None:
    """Let settings name the parts that a root has or permits.

    Raises:
        ConfigError, UnsafeInput: As for `root_settings`.
    """
    extension.look_in(root, root_settings(root).plugins)


def names(root: Path) -> list[str]:
    """Names of the projects below `root/data`, sorted."""
    return sorted(path.parent.name for path in (root / "data").glob("*/project.yaml"))


def load(
    root: Path,
    name: str,
    *,
    source: Path | None = None,
    settings: tuple[str, ...] = (),
    retraining: bool = False,
) -> Project:
    """The project `name` of the checkout at `root`.

    Args:
        root: Folder that holds `data/`.
        name: Folder name below `data/`.
        source: Data that replaces the project's own: a table, a folder of Parquet or of IDX files, or of
            class folders with pictures.
        settings: Assignments `dotted.key=value`; values are read as YAML.
        retraining: Whether `retrain.source` replaces the project's own, unless `source` does.

    Raises:
        ConfigError: No such project, a file that can't be read, or settings that break the schema.
        UnsafeInput: A YAML tag that would build an object, or a path out of the project.
    """
    look_in(root)
    given = source
    if name not in names(root):
        raise ConfigError(
            f"no project {quoted(name)} below {root / 'data'}", fix=did_you_mean(name, names(root))
        )
    path = root / "data" / name / "project.yaml"
    tree = _read_yaml(path)
    named = tree.get("presets") or {}
    tree, mistakes = _resolved(tree, settings)
    if source is not None:
        tree["source"] = source_at(source, "--source", tree.get("source"))
    config = validated(tree, path, mistakes, settings)
    if retraining and source is None and config.retrain.source is not None:
        source = path.parent / config.retrain.source
        own = config.source.model_dump(mode="json")
        config = validated({**tree, "source": source_at(source, "retrain.source", own)}, path)
    if config.name != name:
        raise ConfigError(f"{path}: name is {quoted(config.name)}, but the folder is called {quoted(name)}")
    _inside(path.parent, config.validation.suite)
    if source is None and isinstance(config.source, (TableSource, IdxSource, ImagesSource, TextsSource)):
        _inside(path.parent, config.source.path)
    return Project(_placed(config, path.parent), path.parent, named, settings, given)


def _resolved(tree: dict[str, Any], settings: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The file's settings, the chosen preset's over them and the command line's over both; see `laid`."""
    about = [setting for setting in settings if _section(setting) in presets.KEYS]
    for setting in about:
        _assign(tree, setting)
    made, mistakes = presets.laid(tree)
    for setting in settings:
        if setting not in about:
            _assign(made, setting)
    return made, mistakes


def _section(setting: str) -> str:
    return setting.partition("=")[0].partition(".")[0]


def _placed(config: Config, folder: Path) -> Config:
    """The same, a base model that lies in the project named by its whole path; steps know no project."""
    network = config.network
    if not isinstance(network, Pretrained) or not (folder / network.model).is_dir():
        return config
    place = str((folder / network.model).resolve())
    return config.model_copy(update={"network": network.model_copy(update={"model": place})})


def restored(root: Path, text: str, place: str, settings: tuple[str, ...] = ()) -> Project:
    """The project of a former run, from what `as_yaml` had written of it.

    Args:
        root: Folder that holds `data/`.
        text: The settings.
        place: Where they come from, for messages.
        settings: Assignments `dotted.key=value`.

    Raises:
        ConfigError: They break the schema as it is now, or a preset is chosen, which they no longer hold.
    """
    look_in(root)
    if about := [setting for setting in settings if _section(setting) in presets.KEYS]:
        raise ConfigError(
            f"--set {quoted(about[0])}: a run's settings are whole and hold no presets",
            fix="set what the preset would",
        )
    tree = parse(text, place)
    assert isinstance(tree, dict)
    for setting in settings:
        _assign(tree, setting)
    config = validated(tree, Path(place), settings=settings)
    return Project(config=config, folder=root / "data" / config.name)


def _inside(folder: Path, relative: str) -> None:
    if not (folder / relative).resolve().is_relative_to(folder.resolve()):
        raise UnsafeInput(
            f"path {quoted(relative)} leads out of {folder}",
            fix="keep it inside, or give the place with --source",
        )


def source_at(path: Path, named_by: str, own: Any = None) -> dict[str, Any]:
    """The `source:` section for data at `path`: IDX files, pictures and texts by their names, else a table.

    Args:
        path: A file or folder.
        named_by: What led there, for messages.
        own: The project's section: pictures are brought to the size and mode that it says or implies,
            and what is no IDX data is taken for pictures where the project's are.

    Raises:
        ConfigError: Nothing is there.
    """
    if not path.exists():
        raise ConfigError(f"{named_by} {path}: no such file or folder")
    known, found = own if isinstance(own, dict) else {}, {"path": str(path.resolve())}
    if path.is_dir() and any("ubyte" in entry.name for entry in path.iterdir()):
        return {"kind": "idx", **found}
    if known.get("kind") == "images":
        return {**known, **found}
    packed = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if known.get("kind") == "texts" or packed.suffix.lower() in LINES:
        return {"kind": "texts", **found}
    if path.is_dir() and holds(path, PICTURES):
        # MNIST's own size, unless the project names another; what comes from IDX and CSV is grey.
        grey = {"size": known.get("shape", (28, 28)), "mode": "grey"}
        return {"kind": "images", **found, **(grey if known.get("kind") in ("idx", "package") else {})}
    if path.is_dir() and holds(path, TEXTS):
        return {"kind": "texts", **found}
    sized = {key: known[key] for key in ("stream", "memory_mb") if key in known}
    return {"kind": "table", **found, **sized}


def holds(folder: Path, endings: Collection[str]) -> bool:
    """Whether a file with such an ending lies in a class folder, of an official split or not."""
    below = chain.from_iterable(folder.glob(pattern) for pattern in ("*/*", "*/*/*"))
    return any(path.suffix.lower() in endings for path in below)


def _read_yaml(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_YAML_BYTES} bytes")
    tree = parse(path.read_bytes(), str(path))
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(tree).__name__}")
    return tree


def _assign(tree: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {quoted(setting)}: expected dotted.key=value")
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents, start=1):
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(
                f"--set {quoted(setting)}: {quoted('.'.join(parents[:depth]))} holds no keys",
                fix="set it as a whole",
            )
    tree[last] = parse(value, f"--set {key}")


def as_yaml(config: Config) -> str:
    """The whole configuration with every default resolved, as YAML."""
    tree = config.model_dump(mode="json", by_alias=True)
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100))
