"""Reads the user's photograph and mask, and brings them to the size of the generator's images."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from reprior.datasets.base import Array
from reprior.datasets.photographs import DEPTH_8, FORMATS, Box, centre, decoded, on_white, square
from reprior.errors import UserError

READ = (*FORMATS, "GIF")
LEAST = 8
"""Pixels of the shorter side of the smallest photograph."""
DEEP = 65535 / 255
"""Levels of 16 bits per level of 8 bits."""
Mask = np.ndarray
"""Booleans [H, W], True where a pixel is observed."""


@dataclass(frozen=True)
class Photo:
    """The user's photograph, upright and in RGB."""

    path: Path
    picture: Image.Image
    sha256: str
    """Of its file."""
    done: tuple[str, ...]
    """What reading it changed."""

    @property
    def size(self) -> str:
        """`640 x 480`"""
        return "{} x {}".format(*self.picture.size)


def read_photo(path: Path, what: str = "photo", least: int = LEAST) -> Photo:
    """Read a picture file of any common kind; `UserError` if it is none, is damaged, too small or too large."""
    content = _content(path, what)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged metadata
        return _read(path, content, what, least)


def _read(path: Path, content: bytes, what: str, least: int) -> Photo:
    picture = decoded(content, str(path), upright=False, formats=READ)
    frames = _frames(picture)
    done = [f"took the first of {frames} frames"] if frames > 1 else []
    picture, turned = _upright(picture)
    done += turned
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray(np.round(np.asarray(picture) / DEEP).astype(np.uint8))
        done.append("scaled 16 bits to 8")
    if picture.mode not in DEPTH_8:
        raise UserError(f"{path}: has pixels of kind '{picture.mode}'; save it with 8 or 16 bits a channel")
    if picture.has_transparency_data:
        done.append("laid transparent pixels over white")
    elif picture.mode not in ("RGB", "P"):
        done.append(f"converted {'grey' if picture.mode in ('1', 'L') else picture.mode} to RGB")
    if min(picture.size) < least:
        width, height = picture.size
        raise UserError(f"{path}: is {width} x {height} pixels; give a {what} of at least {least} x {least}")
    return Photo(path, on_white(picture), hashlib.sha256(content).hexdigest(), tuple(done))


def _content(path: Path, what: str) -> bytes:
    if not path.exists():
        raise UserError(f"{path}: there is no such file; give the path of a {what}")
    if not path.is_file():
        raise UserError(f"{path}: is a {'folder' if path.is_dir() else 'device'}; give the path of one {what}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable") from error


def _frames(picture: Image.Image) -> int:
    """Number of frames. Cameras store a small preview as a second one (MPO), which does not count."""
    try:
        return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))
    except Exception:  # damaged bytes after the first frame can make Pillow raise anything
        return 1


def _upright(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture turned as EXIF says. Damaged EXIF data says nothing."""
    try:
        turned = ImageOps.exif_transpose(picture)
        orientation = picture.getexif().get(0x0112, 1)
    except Exception:  # damaged data can make Pillow raise anything
        return picture, ["ignored damaged EXIF data"]
    return turned, ["turned it as EXIF says"] if orientation in range(2, 9) else []


def window(photo: Photo, crop: Sequence[int] | None) -> Box:
    """The square of the photograph that is used: `crop` (top, left, side), or the largest in the middle."""
    width, height = photo.picture.size
    if crop is None:
        return centre(width, height)
    top, left, side = crop
    if top < 0 or left < 0 or side < 1 or top + side > height or left + side > width:
        raise UserError(f"--crop {top} {left} {side}: is not within {photo.path}, {height} high and {width} wide")
    return left, top, left + side, top + side


def fitted(photo: Photo, box: Box, side: int, channels: int, resize: Literal["lanczos", "box"] = "lanczos") -> Array:
    """The part `box` at `side` x `side`: [channels, side, side] in [0, 1].

    The filter `box` takes means over the area of each new pixel. It is for photographs with holes: no pixel outside
    the hole of `shrunk` then mixes with one inside.
    """
    return square(_in_channels(photo.picture, channels), box, side, resize)[:channels]


def _in_channels(picture: Image.Image, channels: int) -> Image.Image:
    return picture.convert("L").convert("RGB") if channels == 1 else picture


def read_mask(path: Path, photo: Photo) -> Mask:
    """A mask file at the photograph's size: black is hidden, white is observed.

    One of another size is scaled without new grey levels. `UserError` if it has another aspect.
    """
    mask = read_photo(path, "mask", least=1)
    if not _same_aspect(mask.picture.size, photo.picture.size):
        raise UserError(f"{path}: the mask is {mask.size}, the photo {photo.size}; give a mask of the photo's size")
    levels = mask.picture.convert("L").resize(photo.picture.size, Image.Resampling.NEAREST)
    return np.asarray(levels) >= 128


def _same_aspect(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the smaller size is the larger one, scaled and rounded to whole pixels."""
    (w, h), (W, H) = sorted((one, other))
    return abs(w * H - W * h) <= (W + H) / 2


def box_mask(box: Sequence[int], photo: Photo) -> Mask:
    """A mask that hides one rectangle (top, left, height, width) of the photograph."""
    top, left, height, width = box
    wide, high = photo.picture.size
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > high or left + width > wide:
        raise UserError(
            f"--box {top} {left} {height} {width}: is not within {photo.path}, {high} high and {wide} wide; "
            "give top, left, height and width in pixels of the photo"
        )
    mask = np.ones((high, wide), dtype=bool)
    mask[top : top + height, left : left + width] = False
    return mask


def shrunk(mask: Mask, box: Box, side: int) -> Mask:
    """The part `box` of a mask at `side` x `side`: a pixel is hidden if any part of its area is.

    `UserError` if nothing or everything is hidden.
    """
    levels = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).crop(box)
    found = np.asarray(levels.resize((side, side), Image.Resampling.BOX)) == 255
    if found.all():
        raise UserError(
            "the mask hides nothing of the square that is used; black pixels are hidden, white are observed"
        )
    if not found.any():
        raise UserError(
            f"the mask hides everything at {side} x {side} pixels; black pixels are hidden, white are observed"
        )
    return found
