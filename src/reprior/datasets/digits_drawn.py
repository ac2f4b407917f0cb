"""Handwritten digits drawn by a program, white on black: the demo's stand-in for MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from reprior.datasets.base import Array, Drawn, edge
from reprior.seeds import seed_for

CHANNELS = 1
Point = tuple[float, float]
Stroke = tuple[Point, ...]
"""The pen passes smoothly through these points; x points right, y down."""

ZERO = ((0.0, -1.0), (-0.45, -0.72), (-0.6, 0.0), (-0.42, 0.75), (0.0, 1.0), (0.45, 0.72), (0.6, 0.0), (0.42, -0.75))
FIVE = ((-0.42, -0.1), (-0.05, -0.32), (0.38, -0.15), (0.52, 0.3), (0.3, 0.8), (-0.12, 1.0), (-0.55, 0.8))
NINE = ((0.42, -0.62), (0.1, -0.97), (-0.35, -0.85), (-0.48, -0.42), (-0.2, -0.08), (0.2, -0.2), (0.42, -0.62))
FORMS: tuple[tuple[tuple[Stroke, ...], ...], ...] = (
    ((ZERO + ZERO[:1],),),
    (
        (((0.0, -1.0), (0.0, 0.0), (0.0, 1.0)),),
        (((-0.35, -0.6), (0.0, -1.0)), ((0.0, -1.0), (0.0, 0.0), (0.0, 1.0))),
        (
            ((-0.35, -0.6), (0.0, -1.0)),
            ((0.0, -1.0), (0.0, 0.0), (0.0, 1.0)),
            ((-0.4, 1.0), (0.0, 1.0), (0.4, 1.0)),
        ),
    ),
    (
        (
            ((-0.55, -0.6), (-0.3, -0.92), (0.1, -1.0), (0.48, -0.75), (0.45, -0.3), (0.1, 0.2), (-0.6, 0.95)),
            ((-0.6, 0.95), (0.0, 0.92), (0.65, 0.92)),
        ),
        (
            ((-0.5, -0.65), (-0.2, -0.96), (0.25, -0.94), (0.48, -0.55), (0.3, 0.0), (-0.15, 0.6))
            + ((-0.5, 0.9), (-0.65, 0.65), (-0.35, 0.52), (0.1, 0.85), (0.65, 0.9)),
        ),
    ),
    (
        (
            ((-0.5, -0.75), (-0.1, -1.0), (0.38, -0.85), (0.42, -0.42), (0.1, -0.12), (-0.15, -0.06)),
            ((-0.15, -0.06), (0.3, 0.05), (0.55, 0.45), (0.35, 0.87), (-0.1, 1.0), (-0.55, 0.78)),
        ),
        (
            ((-0.5, -0.95), (0.5, -0.95)),
            ((0.5, -0.95), (-0.05, -0.2)),
            ((-0.05, -0.2), (0.38, -0.05), (0.55, 0.4), (0.35, 0.85), (-0.1, 1.0), (-0.55, 0.78)),
        ),
    ),
    (
        (
            ((-0.4, -1.0), (-0.5, -0.4), (-0.55, 0.12)),
            ((-0.55, 0.12), (0.0, 0.12), (0.6, 0.08)),
            ((0.4, -0.85), (0.36, 0.0), (0.28, 1.0)),
        ),
        (
            ((0.3, -1.0), (-0.15, -0.38), (-0.6, 0.27)),
            ((-0.6, 0.27), (0.0, 0.27), (0.65, 0.22)),
            ((0.3, -1.0), (0.28, 0.0), (0.22, 1.0)),
        ),
    ),
    (
        (((-0.32, -0.95), (-0.38, -0.5), (-0.42, -0.1)), FIVE, ((-0.32, -0.95), (0.1, -0.95), (0.58, -1.0))),
        (((0.58, -0.98), (0.1, -0.95), (-0.32, -0.95)), ((-0.32, -0.95), (-0.42, -0.1)), FIVE),
    ),
    (
        (
            ((0.35, -1.0), (-0.1, -0.7), (-0.42, -0.15), (-0.5, 0.45), (-0.25, 0.92), (0.2, 0.95), (0.48, 0.55))
            + ((0.32, 0.15), (-0.05, 0.08), (-0.5, 0.45)),
        ),
        (
            ((0.1, -1.0), (-0.35, -0.5), (-0.5, 0.2), (-0.35, 0.8), (0.05, 1.0), (0.42, 0.75))
            + ((0.4, 0.3), (0.05, 0.12), (-0.4, 0.5)),
        ),
    ),
    (
        (((-0.55, -0.85), (0.0, -0.9), (0.55, -0.9)), ((0.55, -0.9), (0.15, -0.1), (-0.15, 1.0))),
        (
            ((-0.6, -0.55), (-0.5, -0.9)),
            ((-0.5, -0.9), (0.0, -0.9), (0.5, -0.92)),
            ((0.5, -0.92), (0.4, -0.3), (0.2, 0.3), (0.1, 1.0)),
        ),
        (
            ((-0.55, -0.85), (0.0, -0.9), (0.55, -0.9)),
            ((0.55, -0.9), (0.15, -0.1), (-0.15, 1.0)),
            ((-0.3, 0.02), (0.1, 0.0), (0.52, -0.04)),
        ),
    ),
    (
        (
            ((0.42, -0.75), (0.0, -1.0), (-0.42, -0.72), (-0.3, -0.35), (0.0, -0.08), (0.42, 0.28), (0.46, 0.7))
            + ((0.0, 1.0), (-0.46, 0.7), (-0.42, 0.28), (0.0, -0.08), (0.3, -0.38), (0.42, -0.75)),
        ),
    ),
    (
        (NINE, ((0.42, -0.62), (0.4, 0.2), (0.3, 1.0))),
        (NINE, ((0.42, -0.62), (0.46, 0.15), (0.25, 0.78), (-0.1, 1.0), (-0.42, 0.82))),
    ),
)
"""The forms in which each digit is written: their strokes in a box of [-1, 1]. Strokes meet where points are equal."""

DOTS = 96
"""A digit is a row of this many dots, so close that they look like strokes."""
MOST_POINTS = 16
"""At least the number of different points of any form."""
NUMBERS = 10 + 2 * MOST_POINTS
"""Random numbers per image."""


class DigitsDrawn(Drawn):
    """Digits of 28 x 28, one channel. The digit is the last one of the id; its form and hand come from its seed."""

    def __init__(self, *, size: Literal[28] = 28, split: Literal["train", "test"] = "test") -> None:
        super().__init__(split, size, channels=1)

    def labels(self, ids: Sequence[str]) -> np.ndarray:
        """The digit on each image, [N] integers."""
        return np.array([int(name) % 10 for name in ids], np.int64)

    def draw(self, ids: Sequence[str]) -> Array:
        """Draws a few digits [N, 1, H, W]."""
        numbers = np.stack([self._numbers(name) for name in ids])
        return written(self.labels(ids), numbers, self.image_shape[1])

    def _numbers(self, name: str) -> Array:
        rng = np.random.Generator(np.random.PCG64(seed_for("digits-drawn", self.split, name, "numbers")))
        return rng.random(NUMBERS, np.float32)


def written(labels: np.ndarray, numbers: Array, size: int) -> Array:
    """Digits [N, 1, size, size] in [0, 1] from labels [N] and random numbers [N, NUMBERS] in [0, 1)."""
    form, slant, turn, wide, tall, right, down, pen, blur, ink = numbers[:, :10].T
    points, weights = _written_forms(labels, form)
    points = points + 0.2 * (numbers[:, 10:].reshape(points.shape) - 0.5)  # an unsteady hand
    x, y = _dots(weights, points)
    # a slope of the tall strokes, and of the flat ones
    x, y = x - (0.6 * slant[:, None] - 0.15) * y, y + (0.3 * turn[:, None] - 0.15) * x
    scale = size * np.float32(0.5)
    x = scale * ((0.54 + 0.26 * wide[:, None]) * x + 0.08 * right[:, None] + 0.96)
    y = scale * ((0.54 + 0.1 * tall[:, None]) * y + 0.06 * down[:, None] + 0.97)
    distance = _nearest(x, y, size)
    cover = edge((0.75 + 0.85 * pen)[:, None, None] - distance, (1.1 + 0.7 * blur)[:, None, None])
    return (cover * (0.85 + 0.15 * ink)[:, None, None])[:, None]


def _written_forms(labels: np.ndarray, form: Array) -> tuple[Array, Array]:
    """Points [N, MOST_POINTS, 2] and weights [N, DOTS, MOST_POINTS] of a form of each digit; `form` [N] chooses."""
    found = [_forms(label)[int(at * len(FORMS[label]))] for label, at in zip(labels.tolist(), form, strict=True)]
    points, weights = zip(*found, strict=True)
    return np.stack(points), np.stack(weights)


def _dots(weights: Array, points: Array) -> tuple[Array, Array]:
    """Positions x and y [N, DOTS]: weighted sums of the points. Written out, because BLAS may round otherwise."""
    x, y = np.zeros((2, *weights.shape[:2]), weights.dtype)
    for k in range(MOST_POINTS):
        x += weights[:, :, k] * points[:, k, :1]
        y += weights[:, :, k] * points[:, k, 1:]
    return x, y


def _nearest(x: Array, y: Array, size: int) -> Array:
    """Distance [N, size, size] of each pixel's centre from the nearest dot, in pixels."""
    axis = np.arange(size, dtype=np.float32) + 0.5
    across, along = (np.square(axis - place[:, :, None]) for place in (x, y))
    least = np.full((len(x), size, size), np.inf, np.float32)
    for dot in range(DOTS):
        np.minimum(least, along[:, dot, :, None] + across[:, dot, None, :], out=least)
    return np.sqrt(least, out=least)


@cache
def _forms(label: int) -> list[tuple[Array, Array]]:
    """The points [MOST_POINTS, 2] and weights [DOTS, MOST_POINTS] of each form of a digit."""
    return [_form(strokes) for strokes in FORMS[label]]


def _form(strokes: Sequence[Stroke]) -> tuple[Array, Array]:
    """The different points of a form, and how much each adds to each dot. The dots follow Catmull-Rom curves."""
    names = list(dict.fromkeys(point for stroke in strokes for point in stroke))
    points = np.zeros((MOST_POINTS, 2))
    points[: len(names)] = names
    curves = [_curve([names.index(point) for point in stroke]) for stroke in strokes]
    way = np.cumsum(np.concatenate([_steps(*_dots(curve[None], points[None])) for curve in curves]))
    at = np.searchsorted(way, (np.arange(DOTS) + 0.5) * (way[-1] / DOTS))
    weights = np.concatenate(curves)[at]
    # without their mean, the centre of mass is at the origin, as in MNIST
    return points.astype(np.float32), (weights - weights.mean(axis=0)).astype(np.float32)


def _steps(x: Array, y: Array) -> Array:
    """How far each dot of a stroke is from the one before, [dots]; 0 for the first: the pen is set down there."""
    dx, dy = (np.diff(place[0], prepend=place[0, :1]) for place in (x, y))
    return np.sqrt(dx * dx + dy * dy)


def _curve(points: Sequence[int], fine: int = 60) -> Array:
    """Weights [dots, MOST_POINTS] of a Catmull-Rom curve through the points of these numbers, `fine` dots a piece.

    It is closed smoothly if it ends where it starts.
    """
    closed = points[0] == points[-1]
    before, after = (points[-2], points[1]) if closed else (points[0], points[-1])
    row = [before, *points, after]
    t = np.linspace(0, 1, fine)
    t2, t3 = t * t, t * t * t
    basis = np.stack([-t + 2 * t2 - t3, 2 - 5 * t2 + 3 * t3, t + 4 * t2 - 3 * t3, t3 - t2], axis=1) / 2
    weights = np.zeros((len(points) - 1, fine, MOST_POINTS))
    for piece, part in enumerate(weights):
        for k, point in enumerate(row[piece : piece + 4]):
            part[:, point] += basis[:, k]
    return weights.reshape(-1, MOST_POINTS)
