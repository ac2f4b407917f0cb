"""Bilinear doubling of an image on a CPU, computed together with what comes before and after it.

Doubling is the same for each channel, so it can change places with what mixes channels. A 3x3 convolution of a doubled
image is the sum of nine mixtures of the small image, each doubled and shifted. The small image has a quarter of the
pixels, so this takes a quarter of the products. The doubled image is never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_TILE = 16
"""In longer tiles, more products are with zeros. Shorter ones overlap more."""


@dataclass(frozen=True)
class _Tile:
    """Some of the doubled values, the values that they are made from, and how.

    Each has three taps: the doubled value before it, itself, and the one after it.
    """

    outputs: slice
    inputs: slice
    by_tap: Tensor
    """[outputs, 3 * inputs]"""
    by_input: Tensor
    """The same as [outputs, inputs * 3]."""


@dataclass(frozen=True)
class Doubling:
    """Doubling along one axis: n values -> the first `kept` of 2n."""

    kept: int
    mean: Tensor
    """[n]: the mean of the doubled values, as weights of the values."""
    square: Tensor
    """[n, n]: the mean of their squares, as a quadratic form."""
    tiles: tuple[_Tile, ...]


@lru_cache(maxsize=256)
def doubling(n: int, kept: int, dtype: torch.dtype, tile: int = _TILE) -> Doubling:
    """Doubling of n values in tiles of `tile`. Taps outside are reflections of those inside."""
    with torch.inference_mode(False):
        doubled = _interpolation(n, kept, dtype)
        padded = functional.pad(doubled.T, (1, 1), mode="reflect").T
        taps = torch.stack([padded[:-2], doubled, padded[2:]], 1)
        tiles = tuple(_tile(taps, first, first + tile) for first in range(0, n, tile))
        return Doubling(kept, doubled.mean(0), doubled.T @ doubled / kept, tiles)


def _interpolation(n: int, kept: int, dtype: torch.dtype) -> Tensor:
    """[kept, n]: doubled value i lies at (i - 1/2) / 2 between the values, or at the border."""
    at = ((torch.arange(kept, dtype=dtype) - 0.5) / 2).clamp(0, n - 1)
    return (1 - (at[:, None] - torch.arange(n, dtype=dtype)).abs()).clamp(min=0)


def _tile(taps: Tensor, first: int, end: int) -> _Tile:
    """The doubling of the values from `first` to `end`, out of all taps [kept, 3, n]."""
    kept, _, n = taps.shape
    outputs = slice(2 * first, min(2 * end, kept))
    inputs = slice(max(first - 1, 0), min(end + 1, n))
    part = taps[outputs, :, inputs]
    return _Tile(outputs, inputs, part.flatten(1).contiguous(), part.mT.flatten(1).contiguous())


def normalised(x: Tensor, rows: Doubling, columns: Doubling, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The image [h, w, C] whose doubling is the batch normalisation of the doubling of x [h, w, C]."""
    h, w, channels = x.shape
    mean = torch.outer(rows.mean, columns.mean).view(1, -1) @ x.reshape(-1, channels)
    centred = x - mean
    squared = (rows.square @ centred.reshape(h, -1)).reshape(h, w, channels)
    squared = centred * torch.bmm(columns.square.expand(h, -1, -1), squared)
    return torch.addcmul(bias, centred, weight * torch.rsqrt(squared.sum((0, 1)) + eps))


def convolved(x: Tensor, weight: Tensor, rows: Doubling, columns: Doubling) -> Tensor:
    """The 3x3 convolution of the doubling of x, padded by reflection: [h, w, I], [O, I, 3, 3] -> [H * W, O].

    It follows autocast, as a convolution does.
    """
    taps = weight.permute(2, 3, 0, 1).flatten(1, 2)  # [3, 3 * O, I]
    if torch.is_autocast_enabled("cpu"):
        x, taps = (value.to(torch.get_autocast_dtype("cpu")) for value in (x, taps))
    output: Tensor = _Convolved.apply(x, taps, rows, columns)
    return output


class _Convolved(torch.autograd.Function):
    """x [h, w, I], taps [3, 3 * O, I] -> [H * W, O], one pair of tiles after the other, so that each fits the cache."""

    @staticmethod
    def forward(x: Tensor, taps: Tensor, rows: Doubling, columns: Doubling) -> Tensor:
        channels = taps.shape[1] // 3
        output = x.new_empty(rows.kept * columns.kept, channels)
        image = output.view(rows.kept, columns.kept, channels)
        for row in rows.tiles:
            for column in columns.tiles:
                part, a, b = _part(x, row, column)
                mixed = torch.bmm(part, taps.mT).view(3 * a, b * 3, channels)
                wide = torch.bmm(column.by_input.to(x.dtype).expand(3 * a, -1, -1), mixed)
                tall = row.by_tap.to(x.dtype) @ wide.view(3 * a, -1)
                image[row.outputs, column.outputs] = tall.unflatten(1, (-1, channels))
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, taps, ctx.rows, ctx.columns = inputs
        ctx.save_for_backward(x, taps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, taps = ctx.saved_tensors
        image = gradient.reshape(ctx.rows.kept, ctx.columns.kept, -1)
        # Sums are not rounded to low precision.
        wide = torch.promote_types(x.dtype, torch.float32)
        of_x, of_taps = torch.zeros_like(x, dtype=wide), torch.zeros_like(taps, dtype=wide)
        for row in ctx.rows.tiles:
            for column in ctx.columns.tiles:
                part, a, b = _part(x, row, column)
                mixed = row.by_tap.T.to(x.dtype) @ image[row.outputs, column.outputs].flatten(1)
                mixed = mixed.view(3 * a, -1, image.shape[2])
                mixed = torch.bmm(column.by_input.T.to(x.dtype).expand(3 * a, -1, -1), mixed).view(3, a * b, -1)
                _add_product(of_taps, mixed.mT, part)
                of_x[row.inputs, column.inputs] += torch.bmm(mixed, taps).sum(0).view(a, b, -1)
        return of_x.to(x.dtype), of_taps.to(x.dtype), None, None

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor, taps: Tensor, rows: Doubling, columns: Doubling) -> tuple[Tensor, int]:
        n = info.batch_size
        values = (
            value.expand(n, *value.shape) if dim is None else value.movedim(dim, 0)
            for value, dim in zip((x, taps), dims[:2], strict=True)
        )
        return torch.stack([_Convolved.apply(*row, rows, columns) for row in zip(*values, strict=True)]), 0


def _add_product(sums: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the products of two stacks of matrices to `sums`."""
    if sums.dtype == left.dtype:
        sums.baddbmm_(left, right)
    else:
        sums += torch.bmm(left, right)


def _part(x: Tensor, row: _Tile, column: _Tile) -> tuple[Tensor, int, int]:
    """The inputs of a pair of tiles, three times: [3, a * b, I]. And a and b."""
    part = x[row.inputs, column.inputs]
    a, b, _ = part.shape
    return part.reshape(1, a * b, -1).expand(3, -1, -1), a, b
