"""Many pictures, side by side: in order, and one that ends its process costs no other its answer."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.errors import Unavailable
from tasks.sources.images import decoder, decoding

SCRIPT = Path(decoder.__file__).read_text(encoding="utf-8")


def write(folder: Path, count: int) -> tuple[list[Path], np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 5, 6), np.uint8)
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for path, one in zip(paths, pixels, strict=True):
        Image.fromarray(one).save(path)
    return paths, pixels


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that some pictures end, by their names."""
    trap = """
def trapped(path, *more, before=answer):
    if b"kill" in path:
        os.kill(os.getpid(), 9)
    while b"spin" in path:
        pass
    if b"eat" in path:
        bytearray(4 * 2**30)
    return before(path, *more)
answer = trapped
SECONDS = 1
if __name__"""
    script = tmp_path / "decoder.py"
    script.write_text(SCRIPT.replace("\nif __name__", trap), encoding="utf-8")
    monkeypatch.setattr(decoder, "__file__", str(script))


def test_order_is_kept_over_batches_and_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "BATCH", 3)
    paths, pixels = write(tmp_path, 20)
    paths[7].write_bytes(b"")
    found = decoding.decode(paths, (5, 6), "grey")
    assert found.errors == {7: "can't be decoded: 0 bytes"}
    np.testing.assert_array_equal(np.delete(found.pixels, 7, axis=0), np.delete(pixels, 7, axis=0))
    assert not found.pixels[7].any()
    assert (found.heights[0], found.widths[0], found.modes[0]) == (5, 6, "L")
    assert found.digests == [decoder.digest(path) for path in paths]
    assert decoding.decode(paths, (5, 6), "colour").pixels.shape == (20, 5, 6, 3)


def test_no_picture_at_all() -> None:
    assert decoding.decode([], (5, 6), "colour").pixels.shape == (0, 5, 6, 3)


def test_a_picture_that_ends_its_process_is_the_only_one_lost(
    tmp_path: Path, deadly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "BATCH", 8)
    paths, pixels = write(tmp_path, 12)
    for at, name in ((0, "kill-0"), (5, "kill-5"), (7, "kill-7"), (11, "spin")):
        paths[at] = paths[at].rename(tmp_path / f"{name}.png")
    found = decoding.decode(paths, (5, 6), "grey")
    assert found.errors == {
        **dict.fromkeys((0, 5, 7), "can't be decoded: ends the process that decodes it (SIGKILL)"),
        11: "can't be decoded: takes more than 20 s of CPU time",
    }
    sound = [i for i in range(12) if i not in found.errors]
    np.testing.assert_array_equal(found.pixels[sound], pixels[sound])
    assert found.digests == [decoder.digest(path) for path in paths]


def test_memory_is_limited(tmp_path: Path, deadly: None) -> None:
    (path,), _ = write(tmp_path, 1)
    found = decoding.decode([path.rename(tmp_path / "eat.png")], (5, 6), "grey")
    assert found.errors == {0: "can't be decoded: ends the process that decodes it (exit 1)"}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert decoding.decode([tmp_path / "pipe.png"], (5, 6), "grey").errors == {
        0: "can't be decoded: no regular file"
    }


def test_processes_that_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "__file__", str(tmp_path / "nowhere.py"))
    with pytest.raises(Unavailable, match="does not start"):
        decoding.decode([tmp_path / "a.png"], (5, 6), "grey")


def test_no_process_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    real = decoding.subprocess.Popen

    def popen(*args: object, **more: object) -> object:
        started.append(real(*args, **more))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(decoding.subprocess, "Popen", popen)
    paths, _ = write(tmp_path, 2)
    decoding.decode(paths, (5, 6), "grey")
    assert [child.returncode for child in started] == [-signal.SIGKILL]
