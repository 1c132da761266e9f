"""Every error that modelyard raises on purpose.

ModelyardError               exit  code
├── ConfigError                 2  the configuration or the command line is wrong
├── DataError                   3  the data was refused
│   ├── DataFormatError         3  the bytes are not what the source says they are
│   └── DataRejected            3  readable, but breaks a rule
├── RegistryConflict            5  the registry moved, or another process holds the lock
├── Unavailable                 6  a server, database or download can't be reached
├── ResourceLimit               7  memory, disk, size or time ran out
├── TrainingDiverged            8  a loss or a weight stopped being finite
├── UnsafeInput                 9  something that would escape its folder or run code when opened
└── ArtifactTampered            9  stored bytes do not match their digest

Anything else that escapes is a bug of ours (exit 70). One line of text says what was wrong, the
value and its place, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

VALUE_LIMIT = 80
"""Longest value, in characters, that a message quotes."""


class ModelyardError(Exception):
    """A failure that was foreseen.

    Args:
        message: What was wrong, with the offending value and its place.
        fix: What to do next; printed after the message.
    """

    exit_code = 1
    code = "FAILED"

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Prefect carries exceptions between threads by pickling; the default forgets keywords.
        return (_rebuild, (type(self), self.message, self.fix))


def _rebuild(kind: type[ModelyardError], message: str, fix: str) -> ModelyardError:
    return kind(message, fix=fix)


class ConfigError(ModelyardError):
    """The configuration or the command line is wrong; nothing was started."""

    exit_code = 2
    code = "CONFIG"


class DataError(ModelyardError):
    """The data was refused."""

    exit_code = 3
    code = "DATA"


class DataFormatError(DataError):
    """The bytes are not what the source says they are."""

    code = "DATA_FORMAT"


class DataRejected(DataError):
    """The data can be read, but breaks a rule."""

    code = "DATA_REJECTED"


class RegistryConflict(ModelyardError):
    """The registry moved under us, or another process holds its lock."""

    exit_code = 5
    code = "REGISTRY_CONFLICT"


class Unavailable(ModelyardError):
    """A server, a database or a download can't be reached."""

    exit_code = 6
    code = "UNAVAILABLE"


class ResourceLimit(ModelyardError):
    """Memory, disk, size or time ran out."""

    exit_code = 7
    code = "RESOURCE_LIMIT"


class TrainingDiverged(ModelyardError):
    """A loss, a gradient or a weight stopped being finite."""

    exit_code = 8
    code = "TRAINING_DIVERGED"


class UnsafeInput(ModelyardError):
    """Something that would escape its folder, or run code when opened."""

    exit_code = 9
    code = "UNSAFE_INPUT"


class ArtifactTampered(ModelyardError):
    """Stored bytes do not match their digest."""

    exit_code = 9
    code = "ARTIFACT_TAMPERED"


def by_code(code: str | None) -> type[ModelyardError]:
    """The class of error that has this code; the plain one for a code that none has."""
    waiting = [ModelyardError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind
        waiting += kind.__subclasses__()
    return ModelyardError


def quoted(value: object) -> str:
    """`value` as a message shows it: one line, control characters escaped, at most 80 characters."""
    text = repr(value) if isinstance(value, str) else str(value).encode("unicode_escape").decode()
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    names = list(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known: {shown}" if names else "there are none"
