"""The source that a step reaches: definitions of this package, found by name, with nothing run.

From every definition in the step's module on, each name that is used is followed: to the definition beside
it, or through an import, also one inside a function, to where it is defined. Annotations count as uses, since
they say whose methods are called. What can't be told by name is taken whole: a module that is handed on as an
object, or one whose attribute is not defined in it. Of a module that is reached, what is run at import
always counts, and so do files that are no Python and lie in its room, such as a template.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from tasks.store.files import digest, sha256_file, write_text
from tasks.store.syntax import Module, Part

PACKAGE = Path(__file__).parents[1]
WHOLE, LOOSE = "*", ""
"""Instead of a definition's name: all of a module, and what is run when it is imported."""

Place = tuple[str, str]
"""A module, and a name in it."""


@dataclass(frozen=True)
class Reached:
    """What a step is made of.

    Attributes:
        modules: Digest of the definitions that are reached, by module; of a file that is no Python, by path.
        libraries: Top-level names of everything else that they import.
    """

    modules: dict[str, str]
    libraries: tuple[str, ...]


class Reader:
    """Follows names through one package.

    Args:
        package: Its folder; the folder's name is the package's.
    """

    def __init__(self, package: Path) -> None:
        self.package = package
        self._modules: dict[str, Module | None] = {}
        self._leads: dict[int, tuple[set[Place], set[str], list[str]]] = {}

    def reach(self, roots: Iterable[str]) -> Reached:
        """What is reached from modules, or from names in them; those that are not ours lead nowhere."""
        waiting = [place for root in roots for place in self._locate(root)]
        seen: set[Place] = set()
        lines: dict[str, set[str]] = {}
        libraries: set[str] = set()
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            waiting += [(module, LOOSE) for module in _upwards(place[0])]
            if place[1] == WHOLE and (module := self._module(place[0])) is not None:
                waiting += [inner for target in module.handed_on for inner in self._locate(target)]
            for part in self._parts(place):
                leads, known, imported = self._follow(place[0], part)
                waiting += leads
                libraries |= known
                line = f"{' '.join(part.binds)} {part.digest} {' '.join(imported)}"
                lines.setdefault(place[0], set()).add(line)
        modules = {name: digest(sorted(found))[:16] for name, found in lines.items()}
        return Reached(dict(sorted((modules | self._files(lines)).items())), tuple(sorted(libraries)))

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            place = self.package.parent.joinpath(*name.split("."))
            path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            ours = name.partition(".")[0] == self.package.name and path.is_file()
            self._modules[name] = Module(name, path) if ours else None
        return self._modules[name]

    def _parts(self, place: Place) -> list[Part]:
        module = self._module(place[0])
        if module is None:
            return []
        if place[1] == WHOLE:
            return module.parts
        return module.loose if place[1] == LOOSE else module.bound.get(place[1], [])

    def _follow(self, module: str, part: Part) -> tuple[set[Place], set[str], list[str]]:
        """Where a statement leads: places of ours, libraries, and what the imported names in it stand for."""
        if id(part) not in self._leads:
            here, uses = self._module(module), part.uses
            assert here is not None
            known = here.imports | uses.imports
            names = [name.split(".") for name in uses.names]
            full = {".".join([known[name[0]], *name[1:]]) for name in names if name[0] in known}
            full |= {
                word.replace(":", ".") for word in uses.words if word.startswith(f"{self.package.name}.")
            }
            leads = {place for target in full for place in self._locate(target)}
            leads |= {(module, name) for name in {n[0] for n in names} | uses.words if name in here.bound}
            outside = {target.partition(".")[0] for target in {*full, *uses.imports.values()}}
            used = {known[name[0]] for name in names if name[0] in known}
            libraries = outside - {self.package.name}
            self._leads[id(part)] = (leads, libraries, sorted(used))
        return self._leads[id(part)]

    def _locate(self, target: str) -> Iterator[Place]:
        """Where `package.module.name` is defined; nowhere for what is not ours."""
        names = target.split(".")
        if names[0] != self.package.name:
            return
        module = names.pop(0)
        while names and (here := self._module(module)) is not None:
            name = names[0]
            if name in here.bound:
                yield module, name
                return
            inner, passed_on = f"{module}.{name}", here.imports.get(name)
            if passed_on is not None and passed_on.startswith(f"{inner}."):  # a module hides behind its part
                names[1:] = names[1:] or passed_on.removeprefix(f"{inner}.").split(".")
            elif passed_on is not None and passed_on != inner:
                yield module, LOOSE
                yield from self._locate(".".join([passed_on, *names[1:]]))
                return
            if self._module(inner) is None:
                break
            module = inner
            names.pop(0)
        yield module, WHOLE

    def _files(self, modules: Iterable[str]) -> dict[str, str]:
        """Files that are no Python in the rooms of modules."""
        found = {}
        for room in {self._room(name) for name in modules} - {self.package}:
            for path in room.rglob("*"):
                plain = not path.name.startswith(".") and "__pycache__" not in path.parts
                if plain and path.is_file() and path.suffix != ".py":
                    found[path.relative_to(self.package.parent).as_posix()] = sha256_file(path)[:16]
        return found

    def _room(self, module: str) -> Path:
        place = self.package.parent.joinpath(*module.split("."))
        return place if place.is_dir() else place.parent


def _upwards(module: str) -> list[str]:
    """A module and the packages around it, all of which are run when it is imported."""
    names = module.split(".")
    return [".".join(names[: end + 1]) for end in range(len(names))]


# --- of this package ------------------------------------------------------------------------------------


class _Kept:
    """What was reached in this package as it is now, kept beside Python's own compiled files."""

    fresh = False

    @cached_property
    def reader(self) -> Reader:
        return Reader(PACKAGE)

    @cached_property
    def content(self) -> str:
        """Digest of every file of the package."""
        files = sorted(p for p in PACKAGE.rglob("*") if "__pycache__" not in p.parts and p.is_file())
        return digest([sys.version_info[:2], {str(p.relative_to(PACKAGE)): sha256_file(p) for p in files}])

    @cached_property
    def known(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(self.place.read_text(encoding="utf-8"))
            if stored["content"] == self.content:
                return dict(stored["reached"])
        return {}

    @property
    def place(self) -> Path:
        return Path(cache_from_source(str(PACKAGE / "reached.py"))).with_suffix(".json")

    def reach(self, roots: tuple[str, ...]) -> Reached:
        key = " ".join(roots)
        if key not in self.known:
            found = self.reader.reach(roots)
            self.known[key] = [found.modules, found.libraries]
            self.fresh = True
        modules, libraries = self.known[key]
        return Reached(modules, tuple(libraries))

    def keep(self) -> None:
        if self.fresh:
            with suppress(OSError):  # a package that may not be written to
                write_text(self.place, json.dumps({"content": self.content, "reached": self.known}))
            self.fresh = False


_kept = _Kept()


@cache
def reached(*roots: str) -> Reached:
    """What modules of this package reach. Reading all of it takes half a second, once after each change."""
    return _kept.reach(tuple(sorted(set(roots))))


def keep() -> None:
    """Lets the next process know what was reached, until a file of the package changes."""
    _kept.keep()
