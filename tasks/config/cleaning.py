"""The section `clean`: declared operations, each a mapping with one key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag, model_validator

from tasks.config.base import OwnName, Strict, keys_of
from tasks.config.data import TypeName
from tasks.own import extension


class Types(Strict):
    """Read columns as another type; a value that can't be read is quarantined."""

    types: dict[str, TypeName]


class Trim(Strict):
    """Strip white space around text, and fold runs of it to one space."""

    trim: tuple[str, ...]


class Case(Strict):
    """Text case by column."""

    case: dict[str, Literal["lower", "upper", "title"]]


class Missing(Strict):
    """Texts that mean 'missing', by column; `*` stands for every text column."""

    missing: dict[str, tuple[str, ...]]


class Scale(Strict):
    """Change of unit: multiply a numeric column by a factor."""

    scale: dict[str, float]


class Rename(Strict):
    """New names for columns."""

    rename: dict[str, str]


class Keep(Strict):
    """Keep rows whose numeric column lies within [low, high]; the others are dropped and counted."""

    keep: dict[str, tuple[float | None, float | None]]

    @model_validator(mode="after")
    def _check(self) -> Keep:
        for name, (low, high) in self.keep.items():
            if low is not None and high is not None and low > high:
                raise ValueError(f"{name}: low {low} lies above high {high}")
        return self


class Only(Strict):
    """Keep rows whose value is one of those named; the others are dropped and counted."""

    only: dict[str, tuple[str, ...]]


class Normalise(Strict):
    """Texts in one form: Unicode NFKC, no markup, no control characters, single spaces.

    A text of which nothing is left is quarantined.
    """

    normalise: tuple[str, ...]


class OwnOperation(RootModel[Annotated[dict[OwnName, dict[str, Any]], Field(min_length=1, max_length=1)]]):
    """A user's own function, `package.module:function`, with its options; see `own.contracts`."""

    model_config = ConfigDict(frozen=True)

    @property
    def run(self) -> str:
        """The function's import path."""
        return next(iter(self.root))


OPERATIONS: dict[str, type[Strict]] = {
    "types": Types,
    "trim": Trim,
    "case": Case,
    "missing": Missing,
    "scale": Scale,
    "rename": Rename,
    "keep": Keep,
    "only": Only,
    "normalise": Normalise,
}


def _operation_tag(value: Any) -> str | None:
    if isinstance(value, OwnOperation) or any(extension.is_own(key) for key in keys_of(value)):
        return "own"
    return next((key for key in keys_of(value) if key in OPERATIONS), None)


Operation = Annotated[
    Annotated[Types, Tag("types")]
    | Annotated[Trim, Tag("trim")]
    | Annotated[Case, Tag("case")]
    | Annotated[Missing, Tag("missing")]
    | Annotated[Scale, Tag("scale")]
    | Annotated[Rename, Tag("rename")]
    | Annotated[Keep, Tag("keep")]
    | Annotated[Only, Tag("only")]
    | Annotated[Normalise, Tag("normalise")]
    | Annotated[OwnOperation, Tag("own")],
    Discriminator(
        _operation_tag,
        custom_error_type="operation",
        custom_error_message=f"expected one operation of: {', '.join(OPERATIONS)} or package.module:function",
    ),
]
