"""Reading a picture: kinds of pixels, damage, bombs; cutting and scaling."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.datasets.celebahq import SOURCES, CelebAHQ
from reprior.datasets.photographs import centre, photograph, square
from reprior.errors import UserError


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 10, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (12, 10), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_colour_is_read_exactly(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(np.asarray(photograph(encoded(COLOUR, kind, **options), "x")), COLOUR)


def test_grey_and_palettes_become_colour() -> None:
    assert np.array_equal(np.asarray(photograph(encoded(GREY), "x")), np.repeat(GREY[:, :, None], 3, axis=2))
    palette = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(np.asarray(photograph(encoded(palette), "x")), np.asarray(palette.convert("RGB")))


def test_what_is_transparent_lies_over_white() -> None:
    alpha = np.array([[0, 255], [51, 204]], np.uint8)
    pixels = np.dstack([np.full((2, 2), level, np.uint8) for level in (100, 0, 200)] + [alpha])
    share = alpha[:, :, None] / 255
    expected = share * pixels[:, :, :3] + (1 - share) * 255
    assert np.abs(np.asarray(photograph(encoded(pixels), "x")) - expected).max() <= 1
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([9, 9, 9])
    assert photograph(encoded(palette, transparency=0), "x").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("pixels", [GREY.astype(np.uint16) * 257, GREY.astype(np.int32), GREY.astype(np.float32)])
def test_more_than_8_bits_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(UserError, match="x.tif: has pixels of kind '.*'; save it with 8 bits a channel"):
        photograph(encoded(pixels, "TIFF"), "x.tif")


def test_exif_orientation_is_applied_only_when_asked_for() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    content = encoded(COLOUR, exif=exif)
    assert np.array_equal(np.asarray(photograph(content, "x", upright=True)), np.rot90(COLOUR, -1))
    assert np.array_equal(np.asarray(photograph(content, "x")), COLOUR)


@pytest.mark.parametrize("content", [b"", b"<html>no image</html>", b"%!PS-Adobe", encoded(COLOUR, "GIF")])
def test_what_is_no_image_of_a_known_kind_is_told(content: bytes) -> None:
    with pytest.raises(UserError, match="x.png: cannot be read as an image of kind JPEG"):
        photograph(content, "x.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_truncated_image_is_told(kind: str) -> None:
    content = encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), kind)
    for share in (0.02, 0.3, 0.8):
        with pytest.raises(UserError, match="x: cannot be read"):
            photograph(content[: int(share * len(content))], "x")


def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(np.zeros((40, 40), np.uint8))
    for limit in (1599, 500):  # Pillow warns above the limit, and refuses above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UserError, match=f"x: has more than {limit:,} pixels; make it smaller"):
            photograph(content, "x")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1600)
    assert photograph(content, "x").size == (40, 40)


def test_a_part_is_cut_and_scaled() -> None:
    picture = Image.fromarray(COLOUR)
    part = square(picture, (1, 2, 9, 10), 8, "bilinear")
    assert part.dtype == np.float32
    assert np.array_equal(part, COLOUR[2:10, 1:9].transpose(2, 0, 1).astype(np.float32) / 255)
    means = COLOUR[2:10, 1:9].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1) / 255
    assert np.abs(square(picture, (1, 2, 9, 10), 4, "box") - means).max() < 1.01 / 255  # Pillow rounds twice
    assert np.array_equal(
        square(picture, (0, 0, 8, 8), 4, "nearest"), COLOUR[1:8:2, 1:8:2].transpose(2, 0, 1) / np.float32(255)
    )


def test_the_centre_square() -> None:
    assert centre(178, 218) == (0, 20, 178, 198)
    assert centre(7, 4) == (1, 0, 5, 4)


def test_celebahq_is_read_whole_or_as_means_of_blocks(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    (tmp_path / SOURCES[0]).parent.mkdir()
    with zipfile.ZipFile(tmp_path / SOURCES[0], "w") as archive:
        archive.writestr("CelebAMask-HQ/CelebA-HQ-img/7.jpg", encoded(pixels))
    images = CelebAHQ(tmp_path)
    assert images.size == 30_000 and images.ids(29_999, 1) == ["29999"]
    assert np.array_equal(images.load(images.ids(7, 1))[0], pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    small = CelebAHQ(tmp_path, size=128)
    means = pixels.reshape(128, 8, 128, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1) / 255
    assert np.abs(small.load(["7"])[0] - means).max() < 1.01 / 255  # Pillow rounds twice
    assert (images.steps, small.steps) == (("divide by 255",), ("resize 128x128 box", "divide by 255"))
    for name in ("8", "../7", "7.jpg/../7"):
        with pytest.raises(UserError, match=f"CelebAMask-HQ.zip: has no file 'CelebAMask-HQ/CelebA-HQ-img/{name}.jpg'"):
            images.load([name])
