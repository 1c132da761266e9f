"""A model folder that MLflow can load anywhere: the bundle, our code that reads it, pinned packages.

Which modules travel, and which packages they need, is read from their `import` statements, beginning
with `servable` and `scoring`; a new import can't be forgotten.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.own import extension
from tasks.registry import backend
from tasks.spans import span

PACKAGE = Path(__file__).parents[1]
ROOTS = ("tasks.registry.servable", "tasks.learning.scoring")
ONLY_FOR = {"transformers": "encoder", "tokenizers": "encoder"}
"""Packages of an optional extra, and the kind of network that needs them; no other model asks for them."""
SERVABLE = "registry/servable.py"
"""MLflow keeps that one itself."""
BUNDLE_FILES = (".json", ".safetensors")


@dataclass(frozen=True)
class Closure:
    """What a model needs to run.

    Attributes:
        files: Our files, relative to the package `tasks`.
        packages: Top-level names of everything else that is imported.
    """

    files: tuple[str, ...]
    packages: tuple[str, ...]


@cache
def closure(also: tuple[str, ...] = ()) -> Closure:
    """The modules of `tasks` that loading and predicting import, and the packages these import.

    Args:
        also: Further names in `tasks` that something in the model imports.
    """
    waiting, files = [*ROOTS, *also], {"__init__.py"}
    packages: set[str] = set()
    while waiting:
        path = _file(waiting.pop())
        if path is None or path.relative_to(PACKAGE).as_posix() in files - {"__init__.py"}:
            continue
        files.add(path.relative_to(PACKAGE).as_posix())
        for name in _imports(path):
            (waiting.append if name.split(".")[0] == "tasks" else packages.add)(name)
    names = {name.split(".")[0] for name in packages} - set(sys.stdlib_module_names)
    return Closure(tuple(sorted(files)), tuple(sorted(names)))


def _file(module: str) -> Path | None:
    """The file of `tasks.a.b`, or None where the name is not a module's but something inside one."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file() and place != PACKAGE:
            return path
    return None


def _imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports at run time, also inside functions."""
    package = ["tasks", *path.relative_to(PACKAGE).parts[:-1]] if path.is_relative_to(PACKAGE) else []
    return extension.imported(path, package)


def own_parts(network: Mapping[str, Any] | None, clean: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Import paths of the parts of a user's own that a model runs: its network, its cleaning operations."""
    names = [(network or {}).get("kind"), *(name for operation in clean for name in operation)]
    return [str(name) for name in names if extension.is_own(name)]


@dataclass(frozen=True)
class _Own:
    """What the parts of a user's own bring along.

    Attributes:
        files: Files that travel, by their place in the model; what is installed is required instead.
        imports: Dotted names that these import.
        installed: Top-level names of those parts that are installed.
    """

    files: dict[str, Path]
    imports: frozenset[str]
    installed: frozenset[str]

    @property
    def ours(self) -> tuple[str, ...]:
        """Those imports that lie in `tasks`."""
        return tuple(sorted(name for name in self.imports if name.split(".")[0] == "tasks"))

    @property
    def packages(self) -> frozenset[str]:
        """Top-level names of installed packages that they need."""
        known = packages_distributions() if self.imports else {}
        tops = {name.split(".")[0] for name in self.imports} - set(extension.OURS)
        return self.installed | (tops & known.keys())


def _own(names: Iterable[str]) -> _Own:
    paths = {name.partition(":")[0] for name in names}
    paths = {path for path in paths if path.split(".")[0] not in extension.OURS}
    installed = {path for path in paths if extension.is_installed(path)}
    files = {place: file for path in paths - installed for place, file in extension.files(path).items()}
    imports = frozenset(name for file in files.values() for name in extension.imported(file))
    return _Own(files, imports, frozenset(path.split(".")[0] for path in installed))


def requirements(
    network: Mapping[str, Any] | None = None, clean: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """Exact versions of the packages that a model needs, without local labels such as `+cpu`.

    Args:
        network: The `network:` section as plain data.
        clean: Cleaning operations as plain data; both may be of the user's own.
    """
    theirs, kind = _own(own_parts(network, clean)), (network or {}).get("kind")
    shipped = {name for name in closure(theirs.ours).packages if ONLY_FOR.get(name, kind) == kind}
    names = {"mlflow", *shipped, *theirs.packages}
    return sorted({f"{name}=={version(name).split('+')[0]}" for name in map(_distribution, names)})


def _distribution(name: str) -> str:
    try:
        version(name)
    except PackageNotFoundError:
        return packages_distributions()[name][0]
    return name


def stage_code(
    folder: Path, network: Mapping[str, Any], clean: Sequence[Mapping[str, Any]] = ()
) -> list[Path]:
    """Copies the code that a model needs into `folder`; returns its top-level packages and modules.

    Besides our own modules that is what a user's own network and operations are made of: the whole
    top-level package or the single file, and what it imports beside it.

    Args:
        folder: Empty.
        network: The `network:` section as plain data.
        clean: Cleaning operations as plain data.

    Raises:
        ConfigError: One of them has no file.
    """
    theirs = _own(own_parts(network, clean))
    ours = {f"tasks/{name}": PACKAGE / name for name in closure(theirs.ours).files if name != SERVABLE}
    for place, path in (ours | theirs.files).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / place)
    return sorted(folder.iterdir())


def stage_bundle(bundle: Path, manifest: Mapping[str, Any], folder: Path) -> Path:
    """Copies the manifest and the files that it speaks for, and nothing else that lies beside them."""
    folder.mkdir(parents=True)
    for name in ("manifest.json", *manifest["digests"]):
        shutil.copyfile(bundle / name, folder / name)
    return folder


def signature(manifest: Mapping[str, Any], rows: pd.DataFrame | None) -> Any:
    """The model's raw inputs, its answers and its parameter, in MLflow's terms.

    Every column is declared `any`, since the model itself reads each cell by the schema that it carries:
    MLflow would cut 33.5 to 33 where a whole number is declared, and refuse int64 where double is. A column
    without gaps is required.

    Args:
        manifest: The bundle's manifest.
        rows: Raw rows that show which columns have gaps; None for images.
    """
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec  # noqa: PLC0415
    from mlflow.types.schema import AnyType  # noqa: PLC0415

    if manifest["columns"] is None:
        inputs = Schema([TensorSpec(np.dtype("uint8"), (-1, *manifest["image_shape"]))])
    else:
        assert rows is not None
        gaps = {name for name in rows.columns if rows[name].isna().any()}
        inputs = Schema(
            [
                ColSpec(AnyType(), column["name"], required=column["name"] not in gaps)
                for column in manifest["columns"]
            ]
        )
    outputs = Schema([ColSpec(_answer_type(manifest["classes"]))])
    return ModelSignature(inputs, outputs, ParamSchema([ParamSpec("output", "string", "value")]))


def _answer_type(classes: list[Any] | None) -> str:
    if classes is None:
        return "double"
    if all(isinstance(label, bool) for label in classes):
        return "boolean"
    return "long" if all(isinstance(label, int) for label in classes) else "string"


def write(
    folder: Path,
    *,
    bundle: Path,
    manifest: Mapping[str, Any],
    example: Any,
    rows: pd.DataFrame | None,
    model_id: str,
    run_id: str,
    metadata: Mapping[str, Any],
) -> Path:
    """Writes the MLflow model below `folder` and returns its path.

    Args:
        folder: An existing, empty folder.
        bundle: Folder with the manifest and the files that it names.
        manifest: That manifest.
        example: First raw train rows or images, shown as input example.
        rows: See `signature`.
        model_id: MLflow's logged model that it belongs to.
        run_id: Run that made it.
        metadata: Plain data that goes into `MLmodel`.
    """
    backend.quiet()
    import mlflow  # noqa: PLC0415
    from mlflow.models import Model  # noqa: PLC0415

    (folder / "code").mkdir()
    code = stage_code(folder / "code", manifest["network"], manifest["clean"])
    with span("model save"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to people who write models by hand
        model = Model(model_id=model_id, run_id=run_id, model_uuid=model_id)
        mlflow.pyfunc.save_model(
            path=str(folder / "model"),
            python_model=str(PACKAGE / SERVABLE),
            artifacts={"bundle": str(stage_bundle(bundle, manifest, folder / "bundle"))},
            code_paths=[str(path) for path in code],
            signature=signature(manifest, rows),
            input_example=_without_nan(example),
            pip_requirements=requirements(manifest["network"], manifest["clean"]),  # inferring costs 4 s
            metadata=dict(metadata),
            mlflow_model=model,
        )
    _forget_places(model, folder / "model" / "MLmodel")
    for cache_folder in (folder / "model").rglob("__pycache__"):
        shutil.rmtree(cache_folder)
    return folder / "model"


def _without_nan(example: Any) -> Any:
    """Missing values as None: NaN is no JSON."""
    if isinstance(example, np.ndarray):
        return example
    gaps = {name: column.astype(object).where(column.notna(), None) for name, column in example.items()}
    return example.assign(**{name: column for name, column in gaps.items() if example[name].isna().any()})


def _forget_places(model: Any, path: Path) -> None:
    """Takes this machine's paths out of `MLmodel`; a loader uses names within the model only."""
    flavor = model.flavors["python_function"]
    flavor["model_code_path"] = "servable.py"
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    model.save(str(path))
