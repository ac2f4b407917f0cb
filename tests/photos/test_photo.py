"""Photographs and masks of every common kind, and at the size of the generator's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.errors import UserError
from reprior.photos.photo import box_mask, fitted, read_mask, read_photo, shrunk, window

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)


def saved(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def test_16_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 256).reshape(16, 16).round().astype(np.uint16)
    for suffix in ("png", "tif"):
        photo = read_photo(saved(tmp_path / f"x.{suffix}", levels))
        assert np.array_equal(np.asarray(photo.picture)[..., 0].ravel(), np.arange(256))
        assert "scaled 16 bits to 8" in photo.done


def test_transparent_pixels_become_white_and_it_is_said(tmp_path: Path) -> None:
    alpha = np.full((12, 16, 1), 255, np.uint8)
    alpha[0] = 0
    photo = read_photo(saved(tmp_path / "x.png", np.dstack([COLOUR, alpha])))
    assert (np.asarray(photo.picture)[0] == 255).all()
    assert np.array_equal(np.asarray(photo.picture)[1:], COLOUR[1:])
    assert photo.done == ("laid transparent pixels over white",)


def test_a_photo_is_turned_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    photo = read_photo(saved(tmp_path / "x.png", COLOUR, exif=exif))
    assert np.array_equal(np.asarray(photo.picture), np.rot90(COLOUR, -1))
    assert photo.done == ("turned it as EXIF says",)


@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("1", "png"), ("P", "png"), ("CMYK", "jpg"), ("LA", "png")])
def test_every_kind_of_pixels_becomes_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    grey = Image.new("RGB", (16, 12), (255, 255, 255)).convert(mode)
    photo = read_photo(saved(tmp_path / f"x.{suffix}", grey))
    assert photo.picture.mode == "RGB"
    assert np.asarray(photo.picture).min() >= 254


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "green", "blue")]
    photo = read_photo(saved(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:]))
    assert photo.picture.getpixel((3, 3)) == (255, 0, 0)
    assert photo.done[0] == "took the first of 3 frames"


def test_what_is_no_photo_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = saved(tmp_path / "whole.jpg", RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("dear diary")
    (tmp_path / "empty.jpg").touch()
    saved(tmp_path / "tiny.png", COLOUR[:1, :1])
    saved(tmp_path / "float.tif", COLOUR[..., 0].astype(np.float32))
    said = {
        "missing.jpg": "there is no such file",
        ".": "is a folder",
        "cut.jpg": "cannot be read as an image .*truncated",
        "text.jpg": "cannot be read as an image of kind JPEG",
        "empty.jpg": "cannot be read as an image of kind JPEG",
        "tiny.png": "is 1 x 1 pixels; give a photo of at least 8 x 8",
        "float.tif": "has pixels of kind 'F'",
    }
    for name, message in said.items():
        with pytest.raises(UserError, match=message):
            read_photo(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="has more than 1,000 pixels; make it smaller"):
        read_photo(tmp_path / "whole.jpg")


def test_the_crop_is_the_centre_square_or_what_is_asked_for(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "x.png", COLOUR))
    assert np.array_equal(fitted(photo, window(photo, None), 12, 3) * 255, COLOUR[:, 2:14].transpose(2, 0, 1))
    assert np.array_equal(fitted(photo, window(photo, (1, 5, 8)), 8, 3) * 255, COLOUR[1:9, 5:13].transpose(2, 0, 1))
    assert fitted(photo, window(photo, None), 28, 1).shape == (1, 28, 28)
    for crop in ((5, 0, 8), (0, 9, 8), (-1, 0, 8), (0, 0, 0)):
        with pytest.raises(UserError, match="is not within"):
            window(photo, crop)


def test_no_observed_pixel_mixes_with_hidden_ones(tmp_path: Path) -> None:
    """A green photo with a red hole whose edges lie within the pixels of the small picture."""
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[..., 1] = 200
    pixels[33:71, 20:58] = (255, 0, 0)
    photo = read_photo(saved(tmp_path / "x.png", pixels))
    box = window(photo, None)
    mask = shrunk(box_mask((33, 20, 38, 38), photo), box, 64)
    small = fitted(photo, box, 64, 3, "box")
    assert (small[0][mask] == 0).all()
    assert (~mask).sum() >= 38**2 * 0.64**2  # the hole is not smaller than it was


def test_a_mask_of_another_size_is_scaled_if_its_aspect_is_the_photos(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "x.png", np.zeros((30, 41, 3), np.uint8)))
    for size in ((30, 41), (60, 82), (15, 21), (10, 14), (300, 410)):
        pixels = np.full(size, 255, np.uint8)
        pixels[: size[0] // 2] = 0
        mask = read_mask(saved(tmp_path / "mask.png", pixels), photo)
        assert mask.shape == (30, 41)
        assert not mask[:14].any() and mask[16:].all()
    for size in ((30, 30), (41, 30), (30, 50), (1, 41)):
        with pytest.raises(UserError, match=r"the mask is .*, the photo 41 x 30; give a mask of the photo's size"):
            read_mask(saved(tmp_path / "mask.png", np.zeros(size, np.uint8)), photo)


def test_a_mask_must_hide_something_and_not_everything(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "x.png", np.zeros((20, 40, 3), np.uint8)))
    box = window(photo, None)
    with pytest.raises(UserError, match="hides nothing"):
        shrunk(box_mask((0, 0, 20, 10), photo), box, 20)  # beside the centre square
    with pytest.raises(UserError, match="hides everything"):
        shrunk(box_mask((0, 0, 20, 40), photo), box, 20)
    for wrong in ((0, 0, 21, 1), (0, 0, 0, 1), (-1, 0, 2, 2), (0, 39, 2, 2)):
        with pytest.raises(UserError, match="is not within"):
            box_mask(wrong, photo)
