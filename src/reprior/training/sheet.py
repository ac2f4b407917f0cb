"""A sheet of images as a PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from reprior.files import written_atomically


def save_sheet(path: Path, images: Tensor, columns: int = 8) -> None:
    """Write images [N, C, H, W] on the [0, 1] scale, clipped, as rows of `columns`; N a multiple of `columns`."""
    from PIL import Image

    n, c, h, w = images.shape
    pixels = (images.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    grid = (
        pixels.reshape(n // columns, columns, c, h, w)
        .transpose(0, 3, 1, 4, 2)
        .reshape(n // columns * h, columns * w, c)
    )
    with written_atomically(path) as temporary:
        Image.fromarray(np.ascontiguousarray(grid)).save(temporary)
