"""Sections about the bar: evaluate, gate, register."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tasks.config.base import OwnName, Strict, keys_of
from tasks.own import extension


class Evaluate(Strict):
    """Which bar the candidate is held to."""

    metric: str
    baselines: tuple[str, ...] = Field(min_length=1)
    slices: tuple[str, ...] = ()
    label_noise: float = Field(0.02, ge=0, le=1)
    """Warn where a larger share of labels looks wrong than this, beyond what chance gives."""


Stage = Literal["validate", "clean", "split", "fit", "evaluate", "register"]


class Extra(Strict):
    """A user's own step, `package.module:function`, before or after a stage, with its options."""

    run: OwnName
    after: Stage | None = None
    before: Stage | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Extra:
        if (self.after is None) == (self.before is None):
            raise ValueError("expected exactly one of after and before")
        return self

    @property
    def name(self) -> str:
        """What it is called: its function, and where it runs."""
        place = f"after-{self.after}" if self.after else f"before-{self.before}"
        return f"{extension.short(self.run)}-{place}"


class BetterThan(Strict):
    """The interval of the difference excludes zero and, where `by` is given, lies above it."""

    better_than: str
    by: float = Field(0.0, ge=0)


class NotWorseThan(Strict):
    """The verdict against the rung is not 'worse'; a champion that does not exist yet passes."""

    not_worse_than: str


class Limit(Strict):
    """An absolute bound on a metric of the test rows or, with `slice`, of every slice of a column."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    slice: str | None = None
    min_rows: int = Field(20, ge=1)
    """Smaller slices are shown, not judged."""

    @model_validator(mode="after")
    def _check(self) -> Limit:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected exactly one of at_least and at_most")
        return self


CRITERIA = ("better_than", "not_worse_than", "metric")


def _criterion_tag(value: Any) -> str | None:
    return next((key for key in CRITERIA if key in keys_of(value)), None)


Criterion = Annotated[
    Annotated[BetterThan, Tag("better_than")]
    | Annotated[NotWorseThan, Tag("not_worse_than")]
    | Annotated[Limit, Tag("metric")],
    Discriminator(
        _criterion_tag,
        custom_error_type="criterion",
        custom_error_message=f"expected one criterion of: {', '.join(CRITERIA)}",
    ),
]


class Register(Strict):
    """Where a model that passed goes."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")
    champion: Literal["auto", "manual"] = "auto"
