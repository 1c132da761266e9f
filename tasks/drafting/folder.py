"""Writes a drafted project: the whole folder, or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks import store
from tasks.config import Config, ImagesSource, presets
from tasks.config.explain import validated
from tasks.drafting import card, page
from tasks.drafting.guesses import Draft
from tasks.errors import ConfigError, quoted
from tasks.sources import files, images

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RAW = "raw"


def check_name(root: Path, name: str) -> Path:
    """The folder that the project will have.

    Raises:
        ConfigError: A name that is not allowed, or is taken.
    """
    if not NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:63]
        fix = f"say {near!r}" if near else "choose another"
        raise ConfigError(f"{quoted(name)}: expected a name of small letters, digits, - and _", fix=fix)
    place = root / "data" / name
    if place.exists():
        raise ConfigError(f"there is a project {quoted(name)} already: {place}", fix="choose another name")
    return place


def config(name: str, draft: Draft, data: str) -> Config:
    """The settings of the draft, its data at `data`.

    Raises:
        ConfigError: They break the schema.
    """
    tree = {
        "name": name,
        **draft.tree,
        "source": {**draft.tree["source"], "path": data},
        "register": {"name": name, "champion": "auto"},
    }
    settings, mistakes = presets.laid(tree)
    return validated(settings, Path("draft"), mistakes)


def write(root: Path, name: str, draft: Draft, place: Path) -> Path:
    """Makes `data/NAME` with the three files and a copy of the data.

    A project's data lies within it: what `project.yaml` says must not reach other files of the machine.

    Args:
        root: The folder that holds `data/`.
        name: Of the project.
        draft: What was decided.
        place: Where the data is now.

    Returns:
        The project's folder.

    Raises:
        ConfigError: The name is taken.
        UnsafeInput: A link out of the data's folder.
    """
    home = check_name(root, name)
    members = _members(draft.tree["source"], place)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{name}-") as temporary:
        made = Path(temporary) / name
        made.mkdir()
        hashes = {f"{RAW}/{path}": _copied(origin, made / RAW / path) for path, origin in members.items()}
        settings = config(name, draft, _data(place))
        suite = {"name": name, "meta": {"notes": _NOTES}, "expectations": list(draft.expectations)}
        store.write_json(made / settings.validation.suite, suite)
        store.write_text(made / "project.yaml", page.written(settings, draft, _head(name)))
        store.write_text(made / "README.md", card.written(settings, draft, hashes, files.shown(place.name)))
        store.write_text(made / ".gitignore", f"{RAW}/\nwork/\n")
        check_name(root, name)  # reading took a while
        made.rename(home)
    return home


_NOTES = "Drafted from the data: ranges with slack, known levels, share of gaps. Make each rule your own."


def _head(name: str) -> str:
    return (
        "Drafted by `modelyard new`. A guess is followed by what overrides it: a setting, which is a key of "
        f"this file and what `modelyard train {name} --set` takes, or an option of `new`."
    )


def _data(place: Path) -> str:
    """Where the data will be, from the project's folder on."""
    return RAW if place.is_dir() else f"{RAW}/{place.name}"


def _members(source: Mapping[str, Any], place: Path) -> dict[str, Path]:
    """Every file of the data, by its path below `raw/`."""
    if source["kind"] == "images":
        found = images.find(ImagesSource(**source), place.parent, labelled=True)
        listed = [found.root / path for path in found.rows["path"]]
        if found.manifest is not None:
            listed.append(found.root / Path(found.manifest.name).name)
        return {path.relative_to(found.root).as_posix(): path for path in listed}
    if not place.is_dir():
        return {place.name: place}
    inner = sorted(path for path in place.rglob("*") if path.is_file())
    paths = {path.relative_to(place).as_posix(): path for path in inner}
    for path, origin in paths.items():
        files.inside(origin, place, path)
    return {path: origin for path, origin in paths.items() if not any(p[0] == "." for p in Path(path).parts)}


def _copied(origin: Path, place: Path) -> str:
    """Copies a file; hex sha256 of the copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin, place)
    return store.sha256_file(place)
