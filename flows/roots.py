"""Where the projects are."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.errors import ConfigError, quoted


def find_root(given: Path | str | None = None) -> Path:
    """The folder that holds `data/`, absolute.

    Taken is the first of: `given`, the environment's MODELYARD_ROOT, the nearest folder from the
    working directory upwards that has a project, the checkout that this file belongs to.

    Raises:
        ConfigError: `given` or MODELYARD_ROOT is no folder, or the path holds a question mark.
    """
    for origin, place in (("--root", given), ("MODELYARD_ROOT", os.environ.get("MODELYARD_ROOT"))):
        if place is not None and str(place):
            if not Path(place).is_dir():
                raise ConfigError(f"{origin} {quoted(str(place))}: no such folder")
            return _usable(Path(place).resolve())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any(folder.glob("data/*/project.yaml")):
            return _usable(folder)
    return Path(__file__).resolve().parent.parent


def _usable(root: Path) -> Path:
    """Refuse a root that no database's URL can name: SQLAlchemy ends a path at the first question mark."""
    if "?" in str(root):
        raise ConfigError(f"{quoted(str(root))}: a root's path can't hold '?'", fix="rename the folder")
    return root
