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


def picture_uri(image: np.ndarray) -> str:
    """A picture [C, H, W] on the [0, 1] scale as a JPEG of full colour resolution."""
    from PIL import Image

    picture = Image.fromarray(pixels(image))
    if max(picture.size) > LONGEST:
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return _uri("jpeg", _jpeg(picture))


def figure_uri(path: Path) -> tuple[str, int, int]:
    """A figure's PNG, or a JPEG of it if that is smaller, as for photographs; also its width and height."""
    from PIL import Image

    png = path.read_bytes()
    with Image.open(path) as figure:
        jpeg = _jpeg(figure.convert("RGB"))
        width, height = figure.size
    return _uri("jpeg", jpeg) if len(jpeg) < len(png) else _uri("png", png), width, height


def png_uri(path: Path) -> str:
    """A PNG as it is."""
    return _uri("png", path.read_bytes())


def _jpeg(picture: Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=90, subsampling=0, optimize=True)
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
