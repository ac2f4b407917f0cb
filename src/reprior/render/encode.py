"""Pictures as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from reprior.render.pictures import pixels

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

LONGEST = 256
"""Pixels of the longer side of a picture; larger ones are shrunk."""
SMALL = 128
"""Pixels. Smaller pictures are enlarged so much that an artefact of the format would show."""


def picture_uri(image: np.ndarray) -> str:
    """A picture [C, H, W] on the [0, 1] scale."""
    from PIL import Image

    picture = Image.fromarray(pixels(image))
    if max(picture.size) > LONGEST:
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return _uri(_webp(picture, quality=95 if max(picture.size) <= SMALL else 88))


def figure_uri(path: Path) -> tuple[str, int, int]:
    """A figure without loss, or with some if that is smaller, as for photographs; also its width and height."""
    from PIL import Image

    with Image.open(path) as file:
        figure = file.convert("RGB")
    ways = (_webp(figure, lossless=True), _webp(figure, quality=90))
    return _uri(min(ways, key=len)), figure.width, figure.height


def png_uri(path: Path) -> str:
    """A PNG as it is."""
    return _uri(path.read_bytes(), "png")


def _webp(picture: Image, **options: bool | int) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _uri(content: bytes, kind: str = "webp") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
