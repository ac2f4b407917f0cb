"""Landscapes with mountains, fields, trees and houses: pictures that a generator of faces has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from reprior.datasets.base import Array, Drawn, edge, glow, paint, ramp
from reprior.seeds import seed_for

SKY_TOP = [(0.16, 0.34, 0.66), (0.30, 0.52, 0.80), (0.42, 0.40, 0.62), (0.20, 0.20, 0.36)]
SKY_LOW = [(0.70, 0.84, 0.93), (0.93, 0.90, 0.80), (0.97, 0.72, 0.50), (0.86, 0.52, 0.50)]
ROCK = [(0.34, 0.38, 0.50), (0.46, 0.44, 0.48), (0.50, 0.38, 0.32), (0.34, 0.42, 0.34)]
MEADOW = [(0.24, 0.46, 0.20), (0.42, 0.56, 0.22), (0.68, 0.60, 0.28), (0.62, 0.42, 0.22)]
LEAVES = [(0.08, 0.26, 0.16), (0.16, 0.38, 0.16), (0.40, 0.48, 0.14), (0.76, 0.42, 0.12), (0.64, 0.20, 0.12)]
WALL = [(0.93, 0.90, 0.82), (0.86, 0.70, 0.50), (0.72, 0.36, 0.28), (0.62, 0.70, 0.76)]
ROOF = [(0.36, 0.16, 0.12), (0.62, 0.26, 0.16), (0.24, 0.24, 0.28)]

SUN, HAZE, GLASS, BARK, SHADOW = np.array(
    [(1.0, 0.93, 0.74), (0.70, 0.77, 0.86), (0.26, 0.32, 0.42), (0.26, 0.17, 0.11), (0.15, 0.15, 0.15)], np.float32
)[:, :, None, None]

NUMBERS = 256
"""Random numbers per image: more than the layers use."""


class ScenesDrawn(Drawn):
    """Landscapes of 64 x 64, each drawn from its own seed."""

    def __init__(self, *, size: Literal[64] = 64, split: Literal["train", "test"] = "test") -> None:
        super().__init__(split, size)

    def draw(self, ids: Sequence[str]) -> Array:
        """Draws a few landscapes [N, 3, H, W]."""
        return _Landscape(np.stack([self._numbers(name) for name in ids]), self.image_shape[1]).image

    def _numbers(self, name: str) -> Array:
        rng = np.random.Generator(np.random.PCG64(seed_for("scenes-drawn", self.split, name, "numbers")))
        return rng.random(NUMBERS, np.float32)


class _Landscape:
    """A batch of landscapes, painted from back to front; y points down and both axes run over [-1, 1]."""

    def __init__(self, numbers: Array, size: int) -> None:
        self.columns = iter(numbers.T)
        self.x = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
        self.y = self.x[:, None]
        self.pixel = 2.2 / size
        self.image = np.empty((len(numbers), 3, size, size), np.float32)
        self.horizon = self.number(-0.05, 0.3)
        self.sun_x, self.sun_y = self.number(-0.9, 0.9), self.number(-0.85, -0.3)
        self._sky()
        for _ in range(3):
            self._cloud()
        self._mountains(self.horizon - 0.1, 0.75, haze=0.45)
        self._mountains(self.horizon, 0.5, haze=0.15)
        self._field()
        self._house(self.number(-0.85, -0.2), self.number(0.2, 0.32))
        self._house(self.number(0.2, 0.85), self.number(0.12, 0.24))
        for far in range(5):
            self._tree(self.horizon + 0.1 + 0.13 * far)
        np.clip(self.image, 0, 1, out=self.image)

    def number(self, low: float, high: float) -> Array:
        """The next random number of each image, in a range: [N, 1, 1]."""
        return low + (high - low) * next(self.columns)[:, None, None]

    def skyline(self, knots: int) -> Array:
        """A random polyline over the image's width, in [0, 1]: [N, 1, W]."""
        heights = np.concatenate([self.number(0, 1) for _ in range(knots + 1)], axis=2)
        at = (self.x + 1) * np.float32(knots / 2)
        low = at.astype(np.int64)
        part = at - low.astype(np.float32)
        return heights[:, :, low] * (1 - part) + heights[:, :, low + 1] * part

    def _sky(self) -> None:
        hour = self.number(0, 1)
        top, low = ramp(SKY_TOP, hour), ramp(SKY_LOW, hour)
        self.image[:] = top + (low - top) * np.minimum((self.y + 1) / (self.horizon + 1), 1)[:, None]
        dx, dy = self.x - self.sun_x, self.y - self.sun_y
        away = dx * dx + dy * dy
        paint(self.image, SUN, 0.55 * glow(away * 7))
        paint(self.image, SUN, edge(self.number(0.08, 0.17) - np.sqrt(away), self.pixel))

    def _cloud(self) -> None:
        cx, cy, size = self.number(-1, 1), self.number(-0.9, -0.25), self.number(0.5, 1.1)
        inside = np.full_like(self.image[:, 0], -1)
        for k in range(4):
            px = (self.x - cx) / size - 0.16 * k + 0.24
            py = (self.y - cy) / size + self.number(-0.02, 0.07)
            inside = np.maximum(inside, self.number(0.08, 0.16) - np.sqrt(px * px + py * py * 2.5))
        inside = np.minimum(inside, 0.06 - (self.y - cy) / size)
        tone = 0.98 - 0.5 * np.maximum(self.y - cy, 0) / size
        paint(self.image, tone[:, None], 0.85 * edge(inside, 0.07))

    def _mountains(self, foot: Array, height: float, haze: float) -> None:
        ridge = self.skyline(7)
        top = foot - 0.8 * height * (ridge + 0.25 * self.skyline(23))
        slope = np.diff(ridge, axis=2, append=ridge[:, :, -1:]) * 9
        facing = np.minimum(np.maximum(slope * np.where(self.sun_x > self.x, np.float32(-1), np.float32(1)), -1), 1)
        rock = ramp(ROCK, self.number(0, 1)) * (0.85 + 0.22 * facing)[:, None]
        snow = (0.88 + 0.1 * facing)[:, None]
        line = foot - height * self.number(0.4, 1.1) + 0.1 * self.skyline(23)
        colour = rock + (snow - rock) * edge(line - self.y, 0.06)[:, None]
        colour = colour + haze * (HAZE - colour)
        paint(self.image, colour, edge(self.y - top, self.pixel))

    def _field(self) -> None:
        top = self.horizon + 0.12 * self.skyline(3) - 0.06
        depth = np.maximum(self.y - top, 0)
        lane = (self.x - self.number(-1, 1)) / (depth + 0.12) * self.number(0.8, 2.2)
        furrow = np.abs(lane % 1 - 0.5) * 2
        stripes = self.number(-0.35, 0.45) * (furrow - 0.5) * np.minimum(depth * 4, 1)
        colour = ramp(MEADOW, self.number(0, 1)) * (0.75 + 0.35 * depth + stripes)[:, None]
        paint(self.image, colour, edge(self.y - top, self.pixel))

    def _lit(self, at: Array, strength: float) -> Array:
        """How much brighter an object at `at` gets towards its right, [N, 1, 1]: negative if the sun is on its left."""
        return np.where(self.sun_x > at, np.float32(strength), np.float32(-strength))

    def _box(self, x: Array, y: Array, half_x: Array | float, half_y: Array | float) -> Array:
        return edge(np.minimum(half_x - np.abs(x), half_y - np.abs(y)), self.pixel)

    def _house(self, at: Array, size: Array) -> None:
        base = self.horizon + self.number(0.15, 0.4)
        x, y = self.x - at, self.y - base
        tall, pitch = size * self.number(0.5, 0.9), self.number(0.6, 1.1)
        lit = self._lit(at, 0.14)
        tiles = ramp(ROOF, self.number(0, 1))
        paint(self.image, SHADOW, 0.45 * self._box(x + 0.7 * lit, y - tall, size * 1.1, 0.03))
        paint(self.image, tiles * 0.7, self._box(x - size * 0.5, y + tall * 1.6, 0.04, size * 0.45))
        wall = ramp(WALL, self.number(0, 1)) * (0.92 + lit * x / size)[:, None]
        paint(self.image, wall, self._box(x, y, size, tall))
        roof = np.minimum(size * 1.2 - np.abs(x) + (y + tall) / pitch, 0.01 - y - tall)
        paint(self.image, tiles * (1 + lit * x / size)[:, None], edge(roof, self.pixel))
        paint(self.image, GLASS, self._box(np.abs(x) - size * 0.58, y + tall * 0.25, size * 0.17, tall * 0.3))
        paint(self.image, ramp(ROOF, self.number(0, 1)), self._box(x, y - tall * 0.4, size * 0.16, tall * 0.6))

    def _tree(self, foot: Array) -> None:
        at, size, conifer = self.number(-1, 1), self.number(0.16, 0.34), self.number(0, 1) > 0.5
        x, y = (self.x - at) / size, (self.y - foot) / size
        soft = self.pixel / size
        lit = self._lit(at, 0.22)
        paint(self.image, BARK, edge(0.1 - np.maximum(np.abs(x), np.abs(y + 0.3) - 0.3), soft))
        tier = (y + 2.4) * 0.27 + 0.16 * (1 - (np.minimum(np.maximum(-y, 0), 3) * 1.6) % 1)
        # The saw-tooth edge of a conifer, and the ball of a broad-leaved tree. Each image's draw decides between them.
        spire = np.minimum(np.minimum(tier - np.abs(x), -0.35 - y), y + 2.4)
        up = y + 1.15
        crown = 0.72 - np.sqrt(x * x + up * up * 0.85) + 0.08 * (np.abs((x * 3 + y * 2) % 2 - 1) - 0.5)
        shape = np.where(conifer, spire, crown)
        tone = 0.9 + lit * x * 1.3 - 0.22 * (y + 1.2)
        paint(self.image, ramp(LEAVES, self.number(0, 1)) * tone[:, None], edge(shape, soft * 1.3))
