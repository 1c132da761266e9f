"""The full MNIST, fetched on request only: nothing in a training run comes here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx

from tasks.errors import ArtifactTampered, ResourceLimit, Unavailable
from tasks.store import replacing

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
"""The mirror that torchvision reads from; the authors' own site refuses most downloads."""

MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""The published checksum of each file."""

MAX_FILE = 16 * 2**20
"""Bytes of one file; the largest has 9.9 million."""

TIMEOUT = 20.0
"""Seconds without an answer."""

_FIX = "fetch the four files by any other means and name their folder with --source"


def download_mnist(folder: Path, *, transport: httpx.BaseTransport | None = None) -> Path:
    """Fetches MNIST's four files into `folder`; those that are there and right are kept.

    Args:
        folder: Where the files go; made if absent. Each file appears whole and checked or not at all.
        transport: How requests are sent; for tests.

    Returns:
        `folder`, ready for `--source`.

    Raises:
        ArtifactTampered: A file that does not have the published checksum.
        ResourceLimit: A file that does not end.
        Unavailable: No connection, no answer, or an answer other than the file.
    """
    missing = [name for name in MD5 if not _right(folder / name)]
    # The checksums are those of the packed files: nothing on the way may unpack or pack them.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(transport=transport, timeout=TIMEOUT, headers=headers) as client:
        for name in missing:
            with replacing(folder / name) as temporary:
                _fetch(client, name, temporary)
    return folder


def _right(path: Path) -> bool:
    return (
        path.is_file() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == MD5[path.name]
    )


def _fetch(client: httpx.Client, name: str, target: Path) -> None:
    url, size = MIRROR + name, 0
    checksum = hashlib.md5(usedforsecurity=False)
    try:
        with client.stream("GET", url) as answer, target.open("wb") as file:
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"{url} answered {answer.status_code}", fix=_FIX)
            for chunk in answer.iter_raw():
                size += file.write(chunk)
                checksum.update(chunk)
                if size > MAX_FILE:
                    raise ResourceLimit(f"{url} sent more than {MAX_FILE:,} bytes", fix=_FIX)
    except httpx.TimeoutException:
        raise Unavailable(f"{url} did not answer within {TIMEOUT:.0f} s", fix=_FIX) from None
    except httpx.HTTPError as error:
        raise Unavailable(f"{url} can't be reached ({type(error).__name__})", fix=_FIX) from None
    if checksum.hexdigest() != MD5[name]:
        raise ArtifactTampered(
            f"{url}: got md5 {checksum.hexdigest()} over {size:,} bytes, expected {MD5[name]}", fix=_FIX
        )
