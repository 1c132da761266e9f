"""The opt-in download: whole and checked, or a clear reason; no network here."""

import hashlib
from pathlib import Path

import httpx
import pytest

from tasks.errors import ArtifactTampered, ResourceLimit, Unavailable
from tasks.sources import download

FILES = {name: f"content of {name}".encode() * 100 for name in download.MD5}
PUBLISHED = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {name: hashlib.md5(data, usedforsecurity=False).hexdigest() for name, data in FILES.items()}
    assert download.MD5 == PUBLISHED
    monkeypatch.setattr(download, "MD5", sums)


def server(asked: list[str], **changed: httpx.Response) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url).startswith("https://ossci-datasets.s3.amazonaws.com/mnist/")
        name = request.url.path.rsplit("/", 1)[-1]
        asked.append(name)
        return changed.get(
            name.split("-idx")[0].replace("-", "_"), httpx.Response(200, stream=httpx.ByteStream(FILES[name]))
        )

    return httpx.MockTransport(answer)


def test_all_four_arrive_and_are_kept(tmp_path: Path) -> None:
    asked: list[str] = []
    folder = download.download_mnist(tmp_path / "mnist", transport=server(asked))
    assert folder == tmp_path / "mnist"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert sorted(asked) == sorted(FILES)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    download.download_mnist(folder, transport=server(asked))
    assert asked[4:] == ["t10k-labels-idx1-ubyte.gz"]
    assert (folder / "t10k-labels-idx1-ubyte.gz").read_bytes() == FILES["t10k-labels-idx1-ubyte.gz"]


def test_a_wrong_checksum_leaves_no_file(tmp_path: Path) -> None:
    wrong = httpx.Response(200, stream=httpx.ByteStream(b"something else"))
    with pytest.raises(ArtifactTampered, match=r"train-labels-idx1-ubyte.gz: got md5 .* expected "):
        download.download_mnist(tmp_path, transport=server([], train_labels=wrong))
    assert [path.name for path in tmp_path.iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_an_answer_that_is_not_the_file(tmp_path: Path) -> None:
    with pytest.raises(
        Unavailable, match=r"https://.*train-images-idx3-ubyte\.gz answered 503; fetch the four files"
    ):
        download.download_mnist(tmp_path, transport=server([], train_images=httpx.Response(503)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (httpx.ConnectError("[Errno -2] Name or service not known"), r"can't be reached \(ConnectError\)"),
        (httpx.ReadTimeout("slow"), "did not answer within 20 s"),
        (httpx.RemoteProtocolError("cut"), r"can't be reached \(RemoteProtocolError\)"),
    ],
)
def test_offline(tmp_path: Path, problem: Exception, words: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise problem

    with pytest.raises(Unavailable, match=words):
        download.download_mnist(tmp_path, transport=httpx.MockTransport(fail))
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_FILE", 1000)
    with pytest.raises(ResourceLimit, match="sent more than 1,000 bytes"):
        download.download_mnist(tmp_path, transport=server([]))
    assert list(tmp_path.iterdir()) == []
