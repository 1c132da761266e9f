"""A project's own parts: `package.module:name` as an object, and the code behind it as files and a digest.

A part may lie in a module of the root (`my_parts.py` beside `data/`, never inside it) or in an installed
package that the root's settings list. Its code belongs to what a result was made of, so its digest stands in
the keys of steps, and its files travel inside a model that needs them. Standard library only: this module
travels too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from tasks.errors import ConfigError, ModelyardError, UnsafeInput, did_you_mean, quoted

PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""What an import path looks like."""

OURS = ("tasks", "flows")
"""Packages whose code belongs to the keys of steps, and which `pack` carries, by themselves."""


PUBLIC = ("networks", "testkit")
"""Rooms of `tasks` that a setting may name: functions there make networks and nothing else."""

_resolved: set[str] = set()
"""Modules that parts came from in this process."""


@dataclass
class _Permitted:
    """Where parts may come from; anywhere that Python imports from before a root is looked in."""

    root: Path | None = None
    packages: frozenset[str] = frozenset()
    announce: Callable[[str], None] | None = None
    """Is told of each module before it is imported, where that is not what somebody asked for."""


_permitted = _Permitted()


def announce(tell: Callable[[str], None]) -> None:
    """Tell of every module that is imported from now on: a command that only reads says what it runs."""
    _permitted.announce = tell


def is_own(name: object) -> bool:
    """Whether `name` is an import path, and not the name of something that ships."""
    return isinstance(name, str) and re.match(PATTERN, name) is not None


def short(name: str) -> str:
    """What records, tables and pages call a part: of an import path the name behind the colon."""
    return name.partition(":")[2] if is_own(name) else name


def look_in(root: Path, packages: Collection[str] = ()) -> None:
    """Make modules in `root` importable, and them and some packages the only ones that settings may name.

    The root comes last on the path, so that no file there hides a library.

    Args:
        root: The folder that holds `data/`.
        packages: Installed packages that may be named, by the name that pip or an import knows.
    """
    if _permitted.root != root.resolve():
        _resolved.clear()  # what another root named is none of this one's
    _permitted.root, _permitted.packages = root.resolve(), frozenset(packages)
    place = str(root.resolve())
    if place not in sys.path:
        sys.path.append(place)
        importlib.invalidate_caches()


def resolve(name: str, key: str) -> Any:
    """The object that an import path names.

    Args:
        name: `package.module:name`.
        key: The setting that holds it, for messages.

    Raises:
        ConfigError: No such module, one that can't be imported, or no such name in it.
        UnsafeInput: A module that settings may not name.
    """
    path, _, inner = name.partition(":")
    permit(path, key)
    if _permitted.announce is not None and path not in _resolved:
        _permitted.announce(f"imports {path}, which {key} names")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise ConfigError(f"{key}: {quoted(path)} can't be imported: {error}") from error
        raise ConfigError(f"{key}: no module {quoted(error.name)}", fix=_searched()) from None
    except Exception as error:  # whatever the user's module does at import
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{key}: {quoted(path)} can't be imported: {told}") from error
    if not hasattr(module, inner):
        place = getattr(module, "__file__", None) or path
        known = [word for word in vars(module) if not word.startswith("_")]
        raise ConfigError(f"{key}: no {quoted(inner)} in {place}", fix=did_you_mean(inner, known))
    _resolved.add(path)
    return getattr(module, inner)


def permit(path: str, key: str) -> None:
    """Refuse a module that settings may not name; nothing is imported.

    Args:
        path: `package.module`.
        key: The setting that names it, for messages.

    Raises:
        ConfigError: It is Python's own.
        UnsafeInput: It is neither a module of the root nor of a package that the root's settings list.
    """
    top = path.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise ConfigError(f"{key}: {quoted(path)} is Python's own", fix="name a function of your own module")
    if top in OURS and not any(f"{path}.".startswith(f"tasks.{room}.") for room in PUBLIC):
        raise UnsafeInput(f"{key}: {quoted(path)} is no part that settings may name")
    place = None if top in OURS or _permitted.root is None else _place(top)
    if place is None:
        return  # whoever imports it says what is not there
    root = _permitted.root
    assert root is not None
    if place.is_relative_to(root / "data"):
        told = f"{key}: {quoted(path)} lies in data/, which holds no code"
        raise UnsafeInput(told, fix="move it beside data/")
    known = {top, *packages_distributions().get(top, ())}
    if known & _permitted.packages or (place.is_relative_to(root) and "site-packages" not in place.parts):
        return
    raise UnsafeInput(
        f"{key}: {quoted(path)} lies in {place}, and settings may name modules of {root} alone",
        fix=f"if you trust it, write plugins: [{top}] into .modelyard.yaml",
    )


def _place(top: str) -> Path | None:
    """Where a top-level module lies; None where there is none."""
    spec = _spec(top)
    where = [spec.origin] if spec and spec.origin else list((spec and spec.submodule_search_locations) or ())
    return Path(where[0]).resolve() if where and where[0] not in ("built-in", "frozen") else None


def _spec(path: str) -> ModuleSpec | None:
    """Find `package.module` without importing the packages that it lies in."""
    first, *inner = path.split(".")
    spec = importlib.util.find_spec(first)
    for name in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec


def call(name: str, key: str, /, *arguments: Any, **options: Any) -> Any:
    """What the part answers; an error of its own says whose it is.

    Raises:
        ConfigError: It raised something that is no ModelyardError.
    """
    return guarded(resolve(name, key), name, key, *arguments, **options)


def guarded(part: Callable[..., Any], name: str, key: str, /, *arguments: Any, **options: Any) -> Any:
    """The same for a part that is at hand already, or for something that it made."""
    try:
        return part(*arguments, **options)
    except ModelyardError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{key}: {quoted(name)} raised {told}", fix="--debug shows where") from error


def _searched() -> str:
    places = [place for place in sys.path if place and Path(place).is_dir() and "site-packages" not in place]
    return f"looked in {', '.join(places[-3:])} and the installed packages"


# --- the code behind a part ---------------------------------------------------------------------------


def digests(names: Iterable[object]) -> dict[str, str]:
    """Of each top-level module behind those of `names` that are import paths: what its code is.

    For files that is their sha256, together with the files beside them that they import; for an
    installed package its version.

    Raises:
        ConfigError: There is no such module.
    """
    found: dict[str, str] = {}
    for path in sorted({str(name).partition(":")[0] for name in names if is_own(name)}):
        top = path.partition(".")[0]
        if top in OURS or top in found:
            continue
        found[top] = version(packages_distributions()[top][0]) if is_installed(path) else _digest(path)
    return found


def ours(names: Iterable[object]) -> list[str]:
    """Dotted names in `tasks` that lie behind import paths: parts of ours, and what parts of a user's import.

    Raises:
        ConfigError: There is no such module.
    """
    found: set[str] = set()
    for path in {str(name).partition(":")[0] for name in names if is_own(name)}:
        if path.partition(".")[0] in OURS:
            found.add(path)
        elif not is_installed(path):
            found.update(name for file in files(path).values() for name in imported(file))
    return sorted(name for name in found if name.partition(".")[0] == "tasks")


def _digest(path: str) -> str:
    content = hashlib.sha256()
    for name, file in files(path).items():
        content.update(f"{name}\0".encode())
        content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()


def is_installed(path: str) -> bool:
    """Whether the module comes from an installed package, which is known by its version."""
    return path.partition(".")[0] in packages_distributions() and "site-packages" in str(origin(path))


def origin(path: str) -> Path:
    """The file of the module `package.module`. Raises ConfigError when it has none."""
    permit(path, "settings")
    spec = _spec(path)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise ConfigError(
            f"module {quoted(path)} has no file that could travel with a model", fix=_searched()
        )
    return Path(spec.origin)


def holds(file: Path) -> bool:
    """Whether a file is code of a part that was resolved in this process."""
    return any(file in files(path).values() for path in _resolved if not is_installed(path))


def files(path: str) -> Mapping[str, Path]:
    """The Python files that the module `package.module` is made of, by their place below its home.

    Its home is the folder that Python finds it in. Its whole top-level package belongs to it, or the
    single file, and so does every other package or file of that home which one of them imports.

    Raises:
        ConfigError: There is no such module.
    """
    place = origin(path)
    home = place.parents[path.count(".") + (place.name == "__init__.py")]
    waiting, found = [path.partition(".")[0]], dict[str, Path]()
    seen = {*OURS, *sys.stdlib_module_names}
    while waiting:
        top = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        for file in _members(home, top, whole=top == path.partition(".")[0]):
            found[file.relative_to(home).as_posix()] = file
            waiting += [name.partition(".")[0] for name in imported(file)]
    return dict(sorted(found.items()))


def _members(home: Path, top: str, *, whole: bool) -> Sequence[Path]:
    """Python files of `top` in `home`; a folder that is no package counts only for the part itself."""
    if (home / top / "__init__.py").is_file() or (whole and (home / top).is_dir()):
        return sorted((home / top).rglob("*.py"))
    single = home / f"{top}.py"
    return [single] if single.is_file() else []


def imported(file: Path, package: Sequence[str] = ()) -> Iterator[str]:
    """Dotted names that a file imports at run time, also inside functions.

    Args:
        file: The file.
        package: Names of the packages that it lies in, from the top, where relative imports start.
    """
    for node in _executed(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module:
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _executed(node)
