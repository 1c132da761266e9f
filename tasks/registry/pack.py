"""A model folder that MLflow can load anywhere: the bundle, our code that reads it, pinned packages.

Which modules travel, and which packages they need, is read from their `import` statements, beginning
with `servable` and `scoring`; a new import can't be forgotten.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import ConfigError, quoted
from tasks.registry import backend

PACKAGE = Path(__file__).parents[1]
ROOTS = ("tasks.registry.servable", "tasks.learning.scoring")
SERVABLE = "registry/servable.py"
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
def closure() -> Closure:
    """The modules of `tasks` that loading and predicting import, and the packages these import."""
    waiting, files = list(ROOTS), {"__init__.py"}
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
    for node in _executed(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _executed(node)


def requirements(network: Mapping[str, Any] | None = None) -> list[str]:
    """Exact versions of the packages that a model needs, without local labels such as `+cpu`."""
    names = {"mlflow", *closure().packages}
    module = _custom_module(network)
    if module is not None and _is_installed(module):
        names.add(module.partition(".")[0])
    return sorted({f"{name}=={version(name).split('+')[0]}" for name in map(_distribution, names)})


def _distribution(name: str) -> str:
    try:
        version(name)
    except PackageNotFoundError:
        return packages_distributions()[name][0]
    return name


def _custom_module(network: Mapping[str, Any] | None) -> str | None:
    kind = str((network or {}).get("kind", ""))
    return kind.partition(":")[0] if ":" in kind else None


def _is_installed(module: str) -> bool:
    return module.partition(".")[0] in packages_distributions() and "site-packages" in str(_origin(module))


def _origin(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        raise ConfigError(
            f"network.kind: module {quoted(module)} has no file that could travel with the model"
        )
    return Path(spec.origin)


def stage_code(folder: Path, network: Mapping[str, Any]) -> list[Path]:
    """Copies the code that a model needs into `folder`; returns its top-level packages and modules.

    Besides our own modules that is the user's module of a custom network: its whole top-level
    package, or the single file; a module that is installed becomes a requirement instead.
    """
    for name in closure().files:
        if name == SERVABLE:
            continue  # MLflow keeps that one itself
        (folder / "tasks" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / name, folder / "tasks" / name)
    module = _custom_module(network)
    if module is not None and module.split(".")[0] != "tasks" and not _is_installed(module):
        top = module.split(".")[0]
        origin = _origin(module)
        if "." in module or origin.name == "__init__.py":
            home = origin.parents[module.count(".") - (origin.name != "__init__.py")]
            shutil.copytree(home, folder / top, ignore=_not_python)
        else:
            shutil.copyfile(origin, folder / f"{top}.py")
    return sorted(folder.iterdir())


def _not_python(folder: str, names: list[str]) -> set[str]:
    keep = {name for name in names if name.endswith(".py") or (Path(folder) / name).is_dir()}
    return {name for name in names if name not in keep or name == "__pycache__"}


def stage_bundle(bundle: Path, manifest: Mapping[str, Any], folder: Path) -> Path:
    """Copies the manifest and the files that it speaks for, and nothing else that lies beside them."""
    folder.mkdir(parents=True)
    for name in ("manifest.json", *manifest["digests"]):
        shutil.copyfile(bundle / name, folder / name)
    return folder


def signature(manifest: Mapping[str, Any], rows: pd.DataFrame | None) -> Any:
    """The model's raw inputs, its answers and its parameter, in MLflow's terms.

    A column without gaps has its own type and is required. A column with gaps is declared `any` and
    optional: it is int64, float64 or object by the accident of which rows are sent, and MLflow
    refuses int64 where double is declared. The model itself reads each value as what training saw.

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
        types = {"number": "double", "integer": "long", "text": "string", "boolean": "boolean"}
        gaps = {name for name in rows.columns if rows[name].isna().any()}
        inputs = Schema(
            [
                ColSpec(
                    AnyType() if column["name"] in gaps else types.get(column["type"], AnyType()),
                    column["name"],
                    required=column["name"] not in gaps,
                )
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
    code = stage_code(folder / "code", manifest["network"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to people who write models by hand
        model = Model(model_id=model_id, run_id=run_id, model_uuid=model_id)
        mlflow.pyfunc.save_model(
            path=str(folder / "model"),
            python_model=str(PACKAGE / SERVABLE),
            artifacts={"bundle": str(stage_bundle(bundle, manifest, folder / "bundle"))},
            code_paths=[str(path) for path in code],
            signature=signature(manifest, rows),
            input_example=_without_nan(example),
            pip_requirements=requirements(manifest["network"]),  # inferring them costs 4 s
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
