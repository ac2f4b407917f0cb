"""Shared by data sets of photographs: reads a picture that may be damaged, crops it and scales it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reprior.acquire.archives import Archive
from reprior.datasets.base import Array
from reprior.errors import UserError

Box = tuple[int, int, int, int]
"""Left, top, right, bottom: the first column and row of a part, and the ones after its last."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
DEPTH_8 = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
"""Pillow's names of the kinds of pixels with at most 8 bits per channel."""

SCALED = "divide by 255"
"""The last step of every photograph."""


def photograph(content: bytes, origin: str, *, upright: bool = False) -> Image.Image:
    """The RGB picture from the bytes of an image file; `origin` is its name in messages.

    Transparent pixels are laid over white. `upright` turns the picture as its EXIF orientation says.
    """
    picture = decoded(content, origin, upright=upright)
    if picture.mode not in DEPTH_8:
        raise UserError(f"{origin}: has pixels of kind '{picture.mode}'; save it with 8 bits a channel")
    return on_white(picture)


def decoded(content: bytes, origin: str, *, upright: bool, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The picture from the bytes of an image file, with pixels of any kind. `UserError` if it is damaged or too big."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # at Pillow's MAX_IMAGE_PIXELS
            picture: Image.Image = Image.open(BytesIO(content), formats=formats)
        picture.load()
        return ImageOps.exif_transpose(picture) if upright else picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(f"{origin}: has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller first") from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{origin}: cannot be read as an image of kind {', '.join(formats)}; replace or remove it"
        ) from error
    except Exception as error:  # damaged bytes can make Pillow's decoders raise anything
        raise UserError(
            f"{origin}: cannot be read as an image of kind {', '.join(formats)} ({error}); replace or remove it"
        ) from error


def on_white(picture: Image.Image) -> Image.Image:
    """An RGB picture. Transparent pixels are laid over white."""
    if picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, "white")
        opaque.alpha_composite(picture.convert("RGBA"))
        picture = opaque
    return picture.convert("RGB")


def pictures(archive: Archive, members: Sequence[str]) -> Iterator[Image.Image]:
    """The pictures of an archive by their names in it."""
    contents = archive.read(members)
    return (photograph(contents[member], f"{archive.path}: {member}") for member in members)


def square(picture: Image.Image, box: Box | None, size: int, resize: str) -> Array:
    """The part `box` of a picture, or all of it, at `size` x `size`: [3, size, size] in [0, 1].

    `resize` is Pillow's name of the filter. It sees only the part, and is anti-aliased except for `nearest`.
    """
    part = picture.crop(box) if box else picture
    if part.size != (size, size):
        part = part.resize((size, size), Image.Resampling[resize.upper()])
    return np.asarray(part, np.float32).transpose(2, 0, 1) / 255


def centre(width: int, height: int) -> Box:
    """The largest square in the middle. If the middle is between two pixels, the left or upper one counts."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
