"""One picture: every mode and size by the stated rules, and every kind of damage refused in words."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.sources.images import decoder
from tasks.sources.images.decoder import Refused

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (12, 8), np.uint8)
COLOUR = RANDOM.integers(0, 256, (12, 8, 3), np.uint8)


def packed(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def pixels(data: bytes, size: tuple[int, int] = (12, 8), mode: str = "grey") -> np.ndarray:
    _, found = decoder.decode(data, *size, mode)
    return np.frombuffer(found, np.uint8).reshape(*size, *((3,) if mode == "colour" else ()))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        decoder.decode(data, 12, 8, "grey")
    return str(caught.value)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claiming(width: int, height: int, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG that says it has so many pixels, and has none."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_grey_is_passed_on_bit_for_bit(kind: str) -> None:
    np.testing.assert_array_equal(pixels(packed(Image.fromarray(GREY), kind)), GREY)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_colour_is_passed_on_bit_for_bit(kind: str) -> None:
    np.testing.assert_array_equal(pixels(packed(Image.fromarray(COLOUR), kind), mode="colour"), COLOUR)


def test_facts_are_those_of_the_file() -> None:
    facts, _ = decoder.decode(packed(Image.fromarray(COLOUR)), 4, 4, "grey")
    assert facts == {"height": 12, "width": 8, "mode": "RGB"}


def test_colour_to_grey_and_back() -> None:
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(pixels(packed(Image.fromarray(COLOUR))), luma, atol=1)
    np.testing.assert_array_equal(
        pixels(packed(Image.fromarray(GREY)), mode="colour"), np.stack([GREY] * 3, -1)
    )


def test_palette_and_one_bit() -> None:
    image = Image.fromarray((GREY > 127).astype(np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    found = pixels(packed(image), mode="colour")
    assert {tuple(pixel) for pixel in found.reshape(-1, 3).tolist()} == {(10, 20, 30), (200, 100, 50)}
    bits = Image.fromarray(GREY > 127)
    np.testing.assert_array_equal(pixels(packed(bits)), 255 * (GREY > 127))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.fromarray(GREY).convert(mode)
    image.putalpha(Image.fromarray(np.where(GREY > 127, 255, 0).astype(np.uint8)))
    np.testing.assert_array_equal(pixels(packed(image)), np.where(GREY > 127, GREY, 255))


def test_a_palette_with_a_clear_colour_is_laid_on_white() -> None:
    image = Image.fromarray(np.zeros((12, 8), np.uint8), "P")
    image.putpalette([0, 0, 0])
    assert (pixels(packed(image, transparency=0)) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_16_bits_the_upper_8_are_taken(kind: str) -> None:
    values = RANDOM.integers(0, 65536, (12, 8), np.uint16)
    np.testing.assert_array_equal(pixels(packed(Image.fromarray(values), kind)), values >> 8)


def test_16_bits_in_the_other_order() -> None:
    values = RANDOM.integers(0, 65536, (12, 8), np.uint16)
    image = Image.frombytes("I;16B", (8, 12), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels(packed(image, "TIFF")), values >> 8)


def test_cmyk_becomes_grey() -> None:
    image = Image.fromarray(np.repeat(GREY[..., None], 3, axis=-1)).convert("CMYK")
    np.testing.assert_allclose(pixels(packed(image, "TIFF")), GREY, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_turned_camera(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    smooth = np.add.outer(np.arange(8) * 16, np.arange(12) * 8).astype(np.uint8)
    data = packed(Image.fromarray(smooth), kind, exif=exif)
    facts, _ = decoder.decode(data, 12, 8, "grey")
    assert (facts["height"], facts["width"]) == (12, 8)
    np.testing.assert_allclose(pixels(data), np.rot90(smooth, -1), atol=6)


def test_a_damaged_exif_costs_nothing() -> None:
    found = pixels(packed(Image.fromarray(GREY), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    np.testing.assert_array_equal(found, GREY)


def test_other_sizes_are_fitted_and_centred_with_the_colour_of_the_edge() -> None:
    image = np.full((10, 40), 200, np.uint8)
    image[:, :20] = 50
    found = pixels(packed(Image.fromarray(image)), (20, 20))
    np.testing.assert_array_equal(found[:, 0], 50)
    np.testing.assert_array_equal(found[:, -1], 200)
    image = image.T
    image[-1] = 90
    found = pixels(packed(Image.fromarray(np.ascontiguousarray(image))), (8, 20))
    assert (found[:, :9] == found[:, :1]).all(), "the left edge is repeated"
    assert found[0, 10] == 50
    assert found[-1, 10] > 90


def test_a_long_thin_picture_keeps_a_pixel() -> None:
    assert pixels(packed(Image.fromarray(np.full((1, 3000), 7, np.uint8))), (8, 8)).tolist() == [[7] * 8] * 8


def test_thinning_out_is_smooth() -> None:
    board = np.indices((160, 160)).sum(axis=0) % 2 * 255
    found = pixels(packed(Image.fromarray(board.astype(np.uint8))), (16, 16))
    assert np.abs(found.astype(int) - 127).max() < 10


def test_a_large_jpeg_looks_the_same_decoded_in_parts() -> None:
    smooth = np.add.outer(np.arange(400), np.arange(400)) * 255 // 800
    data = packed(Image.fromarray(smooth.astype(np.uint8)), "JPEG")
    facts, _ = decoder.decode(data, 20, 20, "grey")
    assert (facts["height"], facts["width"]) == (400, 400)
    np.testing.assert_allclose(pixels(data, (20, 20)), smooth[10::20, 10::20], atol=3)


PNG = packed(Image.fromarray(RANDOM.integers(0, 256, (40, 40), np.uint8)))
JPEG = packed(Image.fromarray(RANDOM.integers(0, 256, (40, 40), np.uint8)), "JPEG")
FLIPPED = PNG[:200] + bytes([PNG[200] ^ 1]) + PNG[201:]
FRAMES = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (1, 200)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"some text", "no readable PNG, JPEG, BMP, GIF, WEBP, TIFF, PPM picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no readable PNG"),
        (b"%PDF-1.7", "no readable PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no readable PNG"),
        (PNG[: len(PNG) // 2], "cut short"),
        (JPEG[: len(JPEG) // 2], "cut short"),
        (FLIPPED, "damaged"),
        (PNG[:18] + b"\xff" + PNG[19:], "no readable PNG"),
        (claiming(0, 0), "no readable PNG"),
        (claiming(30_000, 30_000), "claims more than"),
        (claiming(13_000, 13_000), "claims 169,000,000 pixels; the limit is 89,478,485"),
        (packed(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "several frames"),
        (packed(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "several frames or pages"),
        (packed(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "32 bits (mode F)"),
        (packed(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF"), "32 bits (mode I)"),
    ],
)  # fmt: skip
def test_refusals(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_nonsense_never_raises_anything_else() -> None:
    whole = [PNG, JPEG, *(packed(Image.fromarray(COLOUR), kind) for kind in ("BMP", "TIFF", "GIF", "WEBP"))]
    for seed in range(300):
        random = np.random.default_rng(seed)
        data = bytearray(whole[seed % len(whole)])
        for at in random.integers(0, len(data), 4):
            data[at] = random.integers(0, 256)
        try:
            decoder.decode(bytes(data), 12, 8, "colour")
        except Refused as error:
            assert str(error)


def test_requests_are_answered_in_order(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_grant", lambda: None)  # the test's own process keeps its time
    Image.fromarray(GREY).save(tmp_path / "a.png")
    requests = io.BytesIO(b"2\n%b\n%b\n" % (bytes(tmp_path / "a.png"), bytes(tmp_path / "none.png")))
    answers = io.BytesIO()
    decoder.serve(requests, answers, 12, 8, "grey")
    first, rest = answers.getvalue().removeprefix(decoder.READY).split(b"\n", 1)
    assert b'"error": null' in first
    assert rest[: 12 * 8] == GREY.tobytes()
    assert b"can't be read: No such file or directory" in rest[12 * 8 :]
