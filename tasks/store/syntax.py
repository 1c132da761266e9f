"""A module as what it defines: each statement at its top with a digest and with the names that it uses.

The digest is that of the syntax tree without docstrings, so comments, formatting and the place of a line
are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass
class Part:
    """One statement at the top of a module.

    Attributes:
        tree: The statement.
        binds: Names that it gives a meaning to; none for one that is there for its effect.
        package: Where relative imports in it start.
    """

    tree: ast.stmt
    binds: tuple[str, ...]
    package: tuple[str, ...]

    @cached_property
    def uses(self) -> Uses:
        """The names that it uses."""
        found = Uses(self.package)
        found.visit(self.tree)
        return found

    @cached_property
    def digest(self) -> str:
        """Hex sha256 of the statement's meaning."""
        return hashlib.sha256(ast.dump(self.tree).encode()).hexdigest()


@dataclass
class Uses(ast.NodeVisitor):
    """What a piece of syntax mentions.

    Attributes:
        names: Names, and dotted names as far as they are written out: `store.remember`.
        words: Texts that may name something: a quoted annotation, an import path.
        imports: What names that are imported in here stand for, in full.
        package: Where relative imports start.
    """

    package: tuple[str, ...] = ()
    names: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    imports: dict[str, str] = field(default_factory=dict)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Takes `a.b.c` as one name; of `f(x).b` what stands before the dot."""
        if (dotted := _dotted(node)) is not None:
            self.names.add(dotted)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Takes a name."""
        self.names.add(node.id)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Takes a text that looks like a name or an import path."""
        if isinstance(node.value, str) and node.value.replace(".", "").replace(":", "").isidentifier():
            self.words.add(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        """`import a.b` gives `a` a meaning, `import a.b as c` gives `c` one."""
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self.imports[alias.asname or top] = alias.name if alias.asname else top
            self.words.add(alias.name)  # what is imported for its effect

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from a import b as c` gives `c` a meaning."""
        base = self.package[: len(self.package) - node.level + 1] if node.level else ()
        module = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            self.imports[alias.asname or alias.name] = f"{module}.{alias.name}"


class Module:
    """What a module's file holds.

    Attributes:
        name: `package.module`.
        parts: Its statements, but for imports and docstrings, in order.
        imports: What the names that it imports stand for, in full.
        bound: The statements that give a name its meaning.
        loose: Those that are there for their effect: run whenever the module is imported.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        tree = _without_docstrings(ast.parse(path.read_bytes()))
        self.package = tuple(name.split(".")[: None if path.name == "__init__.py" else -1])
        self.imports: dict[str, str] = {}
        self.parts = [part for statement in tree.body if (part := self._part(statement)) is not None]
        self.bound: dict[str, list[Part]] = {}
        for part in self.parts:
            for bound in part.binds:
                self.bound.setdefault(bound, []).append(part)
        self.loose = [part for part in self.parts if not part.binds or self._registers(part.tree)]

    @cached_property
    def handed_on(self) -> list[str]:
        """What it imports for others, as the page of a room does."""
        used = {name.partition(".")[0] for part in self.parts for name in part.uses.names}
        return [full for name, full in self.imports.items() if name not in used]

    def _part(self, statement: ast.stmt) -> Part | None:
        found = Uses(self.package)
        for node in _statements(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found.visit(node)
        self.imports |= found.imports
        typing = isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING")
        if typing or isinstance(statement, (ast.Import, ast.ImportFrom)):
            return None
        return Part(statement, tuple(sorted(set(_bound(statement)) - found.imports.keys())), self.package)

    def _registers(self, statement: ast.stmt) -> bool:
        """Whether a decorator of our own stands on it, which may enter it somewhere."""
        heads = set()
        for decorator in getattr(statement, "decorator_list", ()):
            uses = Uses()
            uses.visit(decorator)
            heads |= {name.partition(".")[0] for name in uses.names}
        return any(h in self.bound or self.imports.get(h, "").startswith(self.package[0]) for h in heads)


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value)) is not None:
        return f"{base}.{node.attr}"
    return None


def _statements(statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statement and those inside it, as far as they are run where it stands."""
    yield statement
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    for node in ast.iter_child_nodes(statement):
        inner = [node] if isinstance(node, ast.stmt) else [*ast.iter_child_nodes(node)]
        for each in inner:
            if isinstance(each, ast.stmt):
                yield from _statements(each)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement gives a meaning to, or changes in place: `TABLE[key] = value`."""
    for inner in _statements(statement):
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield inner.name
        single = getattr(inner, "target", None)
        for target in [single] if single is not None else getattr(inner, "targets", []):
            for each in getattr(target, "elts", [target]):
                if isinstance(head := _head(each), ast.Name):
                    yield head.id


def _head(node: ast.expr) -> ast.expr:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree without texts that stand alone: docstrings, of attributes too, have no effect."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                each
                for each in body
                if not (
                    isinstance(each, ast.Expr)
                    and isinstance(each.value, ast.Constant)
                    and isinstance(each.value.value, str)
                )
            ]
    return tree
