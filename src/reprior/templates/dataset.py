"""Discs drawn by a program. Replace `draw` by yours; for photographs in a zip see docs/extending.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from reprior.datasets.base import Array, Drawn, edge
from reprior.seeds import seed_for
from reprior.types import Count


class NewDataset(Drawn):
    """x_p = colour if ||p - centre|| < radius, else 0, with a soft edge; all three are drawn for each image."""

    def __init__(self, *, size: Count = 64, split: Literal["train", "test"] = "test") -> None:
        super().__init__(split, size)

    def draw(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, H, W]."""
        return np.stack([self._disc(name) for name in ids])

    def _disc(self, name: str) -> Array:
        rng = np.random.default_rng(seed_for("new-dataset", self.split, name, "disc"))
        radius, x, y, *colour = rng.uniform(0.2, 0.8, 6)
        axis = (np.arange(self.image_shape[1]) + 0.5) / self.image_shape[1]
        inside = edge(radius / 2 - np.hypot(axis - x, axis[:, None] - y), 2 / self.image_shape[1])
        return (np.array(colour)[:, None, None] * inside).astype(np.float32)
