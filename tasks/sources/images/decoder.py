"""Pictures to pixels, in a process of its own with little memory and little time; run as a script.

    python -I decoder.py HEIGHT WIDTH grey|colour

Decoders of pictures are the part of any such program that hostile bytes have got into most often, so
they run here and nowhere else. A request is a line with a number and so many lines with a path each;
the answer to each path is a line of JSON, `{"sha256", "height", "width", "mode", "error"}`, followed by
the pixels unless there is an error. Nothing of `tasks` is imported: a start takes a tenth of a second.

Every picture comes out in one size and mode, by these rules:

- formats: PNG, JPEG, BMP, GIF, WebP, TIFF and PBM/PGM/PPM, told by their bytes, never by a name;
- several frames or pages are refused, since which of them is meant is not ours to say;
- a turn that a camera noted (EXIF) is carried out;
- what is transparent is laid on white; of 16 bits a channel the upper 8 are taken; pixels of 32 bits or
  of floating point, whose range nobody knows, are refused; grey is the luma of ITU-R 601;
- another size is scaled to fit inside, smoothed, never stretched, and centred; the rest is filled with
  the colours of the edge. A picture that already has size and mode is passed on bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import stat
import sys
import warnings
from typing import Any, BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 89_478_485
"""Largest picture, in pixels of its file; Pillow only warns from here to twice as many."""
MAX_BYTES = 256 * 2**20
"""Largest file."""
MEMORY = 2 * 2**30
"""Address space in bytes; the largest picture with transparency takes half of it."""
SECONDS = 20
"""CPU time for one picture, after which the process ends."""

READY = b"ready\n"
"""What a process says first."""

_MODES = {"grey": "L", "colour": "RGB"}
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


class Refused(Exception):
    """A picture that is not taken; the text says why."""


def decode(data: bytes, height: int, width: int, mode: str) -> tuple[dict[str, Any], bytes]:
    """The height, width and mode that a picture has in its file, and its pixels as they are used.

    Args:
        data: The bytes of its file.
        height: Of the result, in pixels.
        width: Of the result, in pixels.
        mode: `grey` or `colour`.

    Returns:
        `height`, `width`, `mode` (Pillow's name), and height x width bytes, times 3 for colour.

    Raises:
        Refused: It is damaged, too large or of a kind that is not taken.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return _decode(data, height, width, _MODES[mode])
    except UnidentifiedImageError:
        raise Refused(f"no readable {', '.join(FORMATS)} picture" if data else "0 bytes") from None
    except Image.DecompressionBombError:
        raise Refused(f"claims more than {2 * MAX_PIXELS:,} pixels; the limit is {MAX_PIXELS:,}") from None
    except MemoryError:
        raise Refused(f"takes more than {MEMORY:,} bytes of memory") from None
    except (OSError, EOFError) as error:
        cut = isinstance(error, EOFError) or "truncated" in str(error)
        raise Refused("cut short" if cut else "damaged") from None
    except Exception as error:
        # Decoders stumble over nonsense in a dozen ways: SyntaxError, struct.error, IndexError ...
        if isinstance(error, Refused):
            raise
        raise Refused(f"damaged ({type(error).__name__})") from None


def _decode(data: bytes, height: int, width: int, mode: str) -> tuple[dict[str, Any], bytes]:
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Refused(f"claims {image.width * image.height:,} pixels; the limit is {MAX_PIXELS:,}")
    # A second picture that a phone keeps within a JPEG (MPO) is a preview or a depth map.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise Refused("holds several frames or pages; expected one picture")
    size, kind = image.size, image.mode
    if max(size) > 4 * max(height, width):
        image.draft(None, (2 * max(height, width),) * 2)  # JPEG alone: decodes a half, a quarter or an eighth
    image.load()
    with contextlib.suppress(Exception):  # what is wrong with EXIF does not make a picture unreadable
        if image.getexif().get(_ORIENTATION) in _TURNED:
            size = size[::-1]
        ImageOps.exif_transpose(image, in_place=True)
    pixels = _fitted(_plain(image).convert(mode), height, width).tobytes()
    return {"height": size[1], "width": size[0], "mode": kind}, pixels


def _plain(image: Image.Image) -> Image.Image:
    """8 bits a channel, nothing transparent."""
    if image.mode in ("I", "F"):
        raise Refused(f"has pixels of 32 bits (mode {image.mode}); expected 8 or 16 bits a channel")
    if image.mode.startswith("I;16"):
        low, high = image.tobytes()[::2], image.tobytes()[1::2]
        return Image.frombytes("L", image.size, low if image.mode == "I;16B" else high)
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear).convert("RGB")
    return image


def _fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    """Scaled to fit inside and centred, its edges repeated over what is left."""
    if image.size == (width, height):
        return image
    scale = min(width / image.width, height / image.height)
    w, h = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize((w, h), Image.Resampling.BILINEAR)  # smooths before it thins out
    left, top = (width - w) // 2, (height - h) // 2
    canvas = Image.new(image.mode, (width, height))
    # One of the two sides fits, so that bars lie either beside the picture or above and below it.
    for edge, bar in (
        ((0, 0, 1, h), (0, 0, left, height)),
        ((w - 1, 0, w, h), (left + w, 0, width, height)),
        ((0, 0, w, 1), (0, 0, width, top)),
        ((0, h - 1, w, h), (0, top + h, width, height)),
    ):
        if bar[0] < bar[2] and bar[1] < bar[3]:
            canvas.paste(small.crop(edge).resize((bar[2] - bar[0], bar[3] - bar[1])), bar)
    canvas.paste(small, (left, top))
    return canvas


def read(path: bytes | os.PathLike[str]) -> bytes:
    """The bytes of a regular file.

    Raises:
        Refused: It is another thing, too large, or can't be read.
    """
    try:
        # Without O_NONBLOCK a pipe would block here for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            known = os.fstat(file.fileno())
            if not stat.S_ISREG(known.st_mode):
                raise Refused("no regular file")
            if known.st_size > MAX_BYTES:
                raise Refused(f"holds {known.st_size:,} bytes; the limit is {MAX_BYTES:,}")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refused(f"can't be read: {error.strerror or type(error).__name__}") from None


def digest(path: bytes | os.PathLike[str]) -> str:
    """Hex sha256 of a file; empty where `read` refuses it."""
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except Refused:
        return ""


def answer(path: bytes, height: int, width: int, mode: str) -> tuple[dict[str, Any], bytes]:
    """What is said of one file, and its pixels; empty where there is an error."""
    told: dict[str, Any] = {"sha256": "", "height": 0, "width": 0, "mode": "", "error": None}
    try:
        data = read(path)
        told["sha256"] = hashlib.sha256(data).hexdigest()
        facts, pixels = decode(data, height, width, mode)
    except Refused as error:
        return {**told, "error": str(error)}, b""
    return {**told, **facts}, pixels


def limit() -> None:
    """Takes away what decoding does not need: memory, writing files, dumps of memory."""
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of address space
            resource.setrlimit(kind, (most, most))


def _grant() -> None:
    """Another `SECONDS` of CPU time from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + SECONDS, hard))


def serve(requests: BinaryIO, answers: BinaryIO, height: int, width: int, mode: str) -> None:
    """Answers until the requests end."""
    answers.write(READY)
    answers.flush()
    while line := requests.readline():
        # All of a request is read before anything is answered, or both sides could wait for each other.
        for path in [requests.readline().rstrip(b"\n") for _ in range(int(line))]:
            _grant()
            told, pixels = answer(path, height, width, mode)
            answers.write(json.dumps(told).encode() + b"\n" + pixels)
            answers.flush()


if __name__ == "__main__":
    limit()
    serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
