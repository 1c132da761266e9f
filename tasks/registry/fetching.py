"""Fetching a registered version's bundle and proving that it is what was registered."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tasks.errors import ArtifactTampered, RegistryConflict, quoted
from tasks.records import ModelVersion
from tasks.registry import backend, versions
from tasks.store import sha256_file

BUNDLE = "artifacts/bundle"
"""Where a version keeps its bundle, below its MLflow model."""


def version(uri: str, name: str, number: int, cache: Path) -> ModelVersion:
    """Version `number` of a model with its bundle, fetched below `cache` and verified.

    Raises:
        RegistryConflict: There is no such version, it is not ready, or modelyard did not make it.
        ArtifactTampered: Its files are missing or are not the ones that were registered.
    """
    with backend.reaching(uri):
        client = backend.client(uri)
        entry = versions.get(client, name, number)
        if entry is None:
            raise RegistryConflict(
                f"model {quoted(name)} has no version {number}", fix="see `modelyard compare`"
            )
        if entry.status != "READY":
            raise RegistryConflict(
                f"version {number} of model {quoted(name)} is {entry.status}, not READY",
                fix="delete it in the MLflow UI and train again",
            )
        known = versions.plain(entry, versions.aliases(client, name))
        return ModelVersion(**{**vars(known), "folder": _fetch(client, uri, entry, cache)})


def champion(uri: str, name: str, cache: Path) -> ModelVersion | None:
    """The version that bears the alias `champion`, with its bundle; None where there never was one.

    Raises:
        RegistryConflict: The alias is gone although a version was promoted, or its version is not ready.
        ArtifactTampered: Its files are missing or are not the ones that were registered.
    """
    known = reigning(uri, name)
    return None if known is None else version(uri, name, known.version, cache)


def reigning(uri: str, name: str) -> ModelVersion | None:
    """The version that bears the alias `champion`, without its bundle; None where there never was one.

    Raises:
        RegistryConflict: The alias is gone although a version was promoted.
    """
    with backend.reaching(uri):
        client = backend.client(uri)
        borne = versions.aliases(client, name)
        if versions.CHAMPION in borne:
            return versions.plain(versions.get(client, name, borne[versions.CHAMPION]), borne)
        promoted = versions.model_tags(client, name).get("modelyard.champion")
    if promoted:
        raise RegistryConflict(
            f"model {quoted(name)} has no alias champion, although version {promoted} was promoted",
            fix="set it again with `modelyard rollback`, or remove the model's tag modelyard.champion",
        )
    return None


def _fetch(client: Any, uri: str, entry: Any, cache: Path) -> Path:
    """The version's bundle, in a folder that carries its digest: what is there once is whole."""
    expected = entry.tags.get(versions.MANIFEST, "")
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise RegistryConflict(
            f"version {entry.version} of model {quoted(entry.name)} has no tag {versions.MANIFEST}: "
            "modelyard did not make it",
            fix="give the alias champion to a version that modelyard registered",
        )
    home = cache / f"{entry.name}-{entry.version}-{expected[:16]}"
    if home.is_dir() and _is_whole(home, expected):
        return home
    shutil.rmtree(home, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".fetching-"))
    try:
        fetched = _download(client, uri, entry, temporary)
        _verify(fetched, expected, f"version {entry.version} of model {quoted(entry.name)}")
        try:
            fetched.rename(home)
        except OSError:  # another process fetched the same
            if not _is_whole(home, expected):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return home


def _download(client: Any, uri: str, entry: Any, into: Path) -> Path:
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    place = client.get_model_version_download_uri(entry.name, str(entry.version))
    try:
        found = download_artifacts(artifact_uri=f"{place}/{BUNDLE}", dst_path=str(into), tracking_uri=uri)
    except (OSError, MlflowException) as error:
        if backend.is_remote(uri) and getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ArtifactTampered(
            f"version {entry.version} of model {quoted(entry.name)}: its files can't be read from "
            f"{backend.without_credentials(place)}",
            fix="put them back from a copy, or give the alias champion to another version",
        ) from None
    return Path(found)


def _is_whole(folder: Path, expected: str) -> bool:
    try:
        _verify(folder, expected, folder.name)
    except ArtifactTampered:
        return False
    return True


def _verify(folder: Path, expected: str, what: str) -> None:
    """Compares the manifest with the digest in the registry, and every file with the manifest."""
    from tasks.learning import scoring  # noqa: PLC0415 - imports torch, which reading the registry must not

    path = folder / "manifest.json"
    found = sha256_file(path) if path.is_file() else "no file"
    if found != expected:
        raise ArtifactTampered(
            f"{what}: manifest.json has sha256 {found[:16]}, registered was {expected[:16]}",
            fix="put the files back from a copy, or give the alias champion to another version",
        )
    scoring.load(folder)
