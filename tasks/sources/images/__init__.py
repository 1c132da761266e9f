"""Pictures as files: a folder for each class, or a manifest beside them.

`finding` and `manifest` say which pictures there are, `decoding` has them decoded by processes with
little memory and time (`decoder`). A picture that can't be decoded is a row all the same, and is told
as one to be set aside: one bad file among ten thousand is no reason to refuse the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from tasks.config import ImagesSource
from tasks.dataset import Dataset
from tasks.errors import DataFormatError, DataRejected, ResourceLimit, quoted
from tasks.records import FileRecord
from tasks.sources import files
from tasks.sources.columns import check_label
from tasks.sources.idx import describe
from tasks.sources.images import decoder, decoding, finding, manifest
from tasks.sources.images.decoding import Decoded
from tasks.sources.images.finding import Found
from tasks.sources.loaded import Loaded
from tasks.store import digest

MAX_BYTES = 4 * 2**30
"""Most bytes of pixels, all pictures together; they are held in memory."""


def fingerprint(source: ImagesSource, project: Path) -> str:
    """Hex sha256 over every picture's path and bytes, and the manifest's; nothing is decoded.

    Raises:
        ConfigError, DataError, ResourceLimit, UnsafeInput: As for `read`.
    """
    found = find(source, project, labelled=False)
    return _fingerprint(found, [decoder.digest(found.root / path) for path in found.rows["path"]])


def read(source: ImagesSource, project: Path, target: str | None) -> Loaded:
    """The pictures in one size and mode (`decoder` tells the rules).

    Returns:
        One row a picture: `label`, `height` and `width` in its file (pixels), `luminance` (mean of the
        pixels used, 0 to 255), `digest` (hash of the pixels used), `part`, `mode` (Pillow's name of the
        file's), `path`, and the manifest's other columns. `pixels` is uint8 (n, height, width), times 3
        for colour. What can't be decoded is in `bad`, with zeros for pixels.

    Raises:
        ConfigError: Nothing is at the path, or a target other than `label`.
        DataFormatError: The manifest can't be read.
        DataRejected: Folders or a manifest that are not as they should be.
        ResourceLimit: More pictures, or more pixels, than may be.
        Unavailable: The processes that decode do not start.
        UnsafeInput: A way out of the folder, a pipe or device, a line break in a name.
    """
    check_label(target)
    found = find(source, project, labelled=target is not None)
    check_memory(len(found.rows), source)
    paths = [found.root / path for path in found.rows["path"]]
    decoded = decoding.decode(paths, source.size, source.mode)
    return Loaded(
        dataset=Dataset(_described(found.rows, decoded), decoded.pixels),
        fingerprint=_fingerprint(found, decoded.digests),
        files=_records(found, decoded.digests),
        findings=found.findings,
        unread=decoded.errors,
    )


def find(source: ImagesSource, project: Path, *, labelled: bool) -> Found:
    """The pictures of a source, by a manifest where there is one, in a fixed order.

    Args:
        source: Where they are.
        project: Folder that a relative path starts from.
        labelled: Whether a manifest has to have labels.

    Raises:
        ConfigError, DataError, ResourceLimit, UnsafeInput: As for `read`.
    """
    place, name = files.locate(source.path, project), files.name_of(source.path)
    if not place.is_dir():
        return manifest.listed(place, name, source, labelled=labelled)
    lists = manifest.within(place, source)
    if len(lists) > 1:
        told = ", ".join(quoted(path.name) for path in lists[:5])
        raise DataRejected(f"{name}: several files list pictures: {told}", fix="name one in source.path")
    if lists:
        return manifest.listed(lists[0], f"{name}/{files.shown(lists[0].name)}", source, labelled=labelled)
    return finding.by_folder(place, name)


def pieces(place: Path, shape: Sequence[int], rows: int) -> Iterator[tuple[list[str], Decoded]]:
    """Pictures without labels, so many at a time: a file, or all files below a folder, by their names.

    Args:
        place: The file or folder.
        shape: Height and width that they are brought to, and 3 where in colour.
        rows: Of a piece; the last one has what is left.

    Raises:
        DataFormatError: A folder without files.
        ResourceLimit, Unavailable, UnsafeInput: As for `read`.
    """
    root = place if place.is_dir() else place.parent
    names = finding.members(place) if place.is_dir() else [place.name]
    if not names:
        raise DataFormatError(f"{files.shown(place.name)}: no picture in this folder", fix="name another")
    mode: Literal["grey", "colour"] = "colour" if len(shape) == 3 else "grey"
    for start in range(0, len(names), rows):
        some = names[start : start + rows]
        yield some, decoding.decode([root / name for name in some], (shape[0], shape[1]), mode)


def check_memory(count: int, source: ImagesSource) -> None:
    """Refuses more pixels than `MAX_BYTES`.

    Raises:
        ResourceLimit: Names their number and the size that would do.
    """
    wanted = count * math.prod(source.size) * (3 if source.mode == "colour" else 1)
    if wanted > MAX_BYTES:
        size, factor = " x ".join(map(str, source.size)), math.sqrt(MAX_BYTES / wanted)
        lower = [max(4, int(side * factor)) for side in source.size]
        raise ResourceLimit(
            f"{count:,} pictures of {size} pixels in {source.mode} take {wanted:,} bytes; "
            f"the limit is {MAX_BYTES:,}",
            fix=f"lower source.size, to {lower} or less, or take fewer pictures",
        )


def _described(rows: pd.DataFrame, decoded: Decoded) -> pd.DataFrame:
    labels = rows["label"] if "label" in rows.columns else pd.Series(pd.NA, index=rows.index)
    made = describe(decoded.pixels, labels.array, rows["part"].tolist())
    made["height"], made["width"] = decoded.heights, decoded.widths
    made["mode"] = pd.Series(decoded.modes, dtype="str").array
    made["path"] = rows["path"].array
    others = rows.drop(columns=["path", "label", "part"], errors="ignore").set_axis(made.index)
    made = pd.concat([made, others], axis=1)
    made.loc[list(decoded.errors), ["digest", "luminance"]] = None
    return made if "label" in rows.columns else made.drop(columns="label")


def _fingerprint(found: Found, digests: list[str]) -> str:
    pictures = list(zip(found.rows["path"], digests, strict=True))
    listed = "" if found.manifest is None else files.sha256(found.manifest.data)
    return digest(["images", listed, pictures])


def _records(found: Found, digests: list[str]) -> tuple[FileRecord, ...]:
    """The manifest, then a record for each folder, with the names of the files in it."""
    records = []
    if (listed := found.manifest) is not None:
        records.append(FileRecord(name=listed.name, rows=0, sha256=files.sha256(listed.data)))
    start = 0
    for folder, count in found.groups:
        prefix = "" if folder == "." else f"{folder}/"
        paths = [path.removeprefix(prefix) for path in found.rows["path"].iloc[start : start + count]]
        content = digest(list(zip(paths, digests[start : start + count], strict=True)))
        name = files.shown(found.root.name if folder == "." else f"{found.root.name}/{folder}")
        records.append(FileRecord(name=name, rows=count, sha256=content, members=tuple(paths)))
        start += count
    return tuple(records)
