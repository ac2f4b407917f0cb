"""A sheet of images as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from reprior.machine.files import written_atomically

_MARGIN = 64


def save_sheet(path: Path, images: Tensor, columns: int = 8, labels: Sequence[str] = ()) -> None:
    """Write images [N, C, H, W] on the [0, 1] scale, clipped, as rows of `columns`; N is a multiple of `columns`.

    `labels`, one per row, are printed on the left.
    """
    from PIL import Image, ImageDraw

    n, c, h, w = images.shape
    pixels = (images.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    grid = (
        pixels.reshape(n // columns, columns, c, h, w)
        .transpose(0, 3, 1, 4, 2)
        .reshape(n // columns * h, columns * w, c)
    )
    if labels:
        grid = np.pad(grid, ((0, 0), (_MARGIN, 0), (0, 0)), constant_values=255)
    sheet = Image.fromarray(np.ascontiguousarray(grid.squeeze(2) if c == 1 else grid))
    for row, label in enumerate(labels):
        ImageDraw.Draw(sheet).text((4, row * h + h // 2), label, fill="black", anchor="lm")
    with written_atomically(path) as temporary:
        sheet.save(temporary)
