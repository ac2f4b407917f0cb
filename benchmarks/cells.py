"""What `calibrate.py` computes: errors of estimates without a generator for each choice, and their statistics.

Every estimate is separable and, without the clipping, linear. So small matrices for one axis suffice. They come from
the project's operator if it has the choice, else from PyTorch's functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reprior.operators.bicubic import Bicubic

NOISE = 10 / 255
DRAWS, SET = 4000, 100
"""Number of random sets of images, and the size of the paper's set."""
ROUNDING = 0.01**2 / 12
"""Variance of the error from rounding to the paper's two digits."""
Errors = dict[str, np.ndarray]
"""One number per image, by cell."""


def errors(
    images: Sequence[Tensor], estimates: Callable[..., Iterator[tuple[Tensor, Tensor]]], cells: list[str], **how: Any
) -> Errors:
    """The mean squared error of each image in each cell that `estimates` yields."""
    clip = how.pop("clip", True)

    def mse(estimate: Tensor, truth: Tensor) -> np.ndarray:
        estimate = estimate.clamp_(0, 1) if clip else estimate
        return estimate.sub_(truth).square_().mean((1, 2, 3)).double().numpy()

    rng = torch.Generator().manual_seed(0)
    parts = [[mse(*pair) for pair in estimates(chunk, rng, **how)] for chunk in images]
    return {cell: np.concatenate(values) for cell, values in zip(cells, zip(*parts, strict=True), strict=True)}


def sr_estimates(
    x: Tensor,
    rng: torch.Generator,
    scales: Sequence[int],
    border: str = "reflect",
    up: str = "torch",
    noise: float = NOISE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Estimate and truth for each of the four cells."""
    middle = 0 if border == "black" else 0.5  # the value beyond the border, if it is constant
    for level in (0.0, noise):
        for scale in scales:
            D, U = down(x.shape[3], scale, border), upsampling(x.shape[3] // scale, scale, up)
            y = D @ (x - middle) @ D.T
            if level:
                y = y + level * torch.randn(y.shape, generator=rng)
            yield U @ y @ U.T + middle, x


def blur_estimates(
    x: Tensor, rng: torch.Generator, border: str = "reflect", noise: float = NOISE
) -> Iterator[tuple[Tensor, Tensor]]:
    """The blurred image and the truth. `cropped` compares only pixels that the border does not affect."""
    middle = 0 if border == "black" else 0.5
    B = functional.avg_pool1d(continued(x.shape[3], 4, border), 9, stride=1)[0].T
    y = B @ (x - middle) @ B.T + middle + noise * torch.randn(x.shape, generator=rng)
    inner = slice(4, -4) if border == "cropped" else slice(None)
    yield y[..., inner, inner], x[..., inner, inner]


@lru_cache
def down(size: int, scale: int, border: str) -> Tensor:
    """Our operator `bicubic` along one axis, on a line that is extended at both ends: [size / scale, size]."""
    if border == "renormalised":
        eye = torch.eye(size)[None, None]
        return functional.interpolate(eye, (size, size // scale), mode="bicubic", antialias=True)[0, 0].T
    wide = size + 4 * scale
    P = Bicubic((1, wide, wide), torch.Generator(), scale=scale).P[2:-2]
    return P @ continued(size, 2 * scale, border)[0].T


@lru_cache
def upsampling(size: int, scale: int, how: str) -> Tensor:
    """Bicubic along one axis with a = -3/4 (`torch`, as in the operator) or -1/2 (`pillow`): [size * scale, size]."""
    eye = torch.eye(size)[None, None]
    return functional.interpolate(eye, (size, size * scale), mode="bicubic", antialias=how == "pillow")[0, 0].T


def continued(size: int, width: int, border: str) -> Tensor:
    """The unit vectors, each extended by `width` at both ends: [1, size, size + 2 width]."""
    modes = {"grey": "constant", "black": "constant", "cropped": "reflect"}
    return functional.pad(torch.eye(size)[None], (width, width), mode=modes.get(border, border))


def decibel(error: np.ndarray) -> np.ndarray:
    """PSNR of a mean squared error."""
    return -10 * np.log10(error)


@lru_cache
def weights(images: int) -> tuple[np.ndarray, np.ndarray]:
    """The share of each image in `DRAWS` random sets: in sets of 100, as in the paper, and in sets as large as ours."""
    rng = np.random.default_rng(0)
    papers, ours = (rng.multinomial(size, np.full(images, 1 / images), DRAWS) / size for size in (SET, images))
    return papers, ours


def spread(values: np.ndarray, psnr_first: bool = False) -> np.ndarray:
    """PSNRs [DRAWS, cells] of 100 other images, from errors [N, cells]. Includes the uncertainty of our own mean."""
    papers, ours = weights(len(values))
    if psnr_first:
        each = decibel(values)
        return each.mean(0) + papers @ each - ours @ each
    return decibel(values.mean(0)) + decibel(papers @ values) - decibel(ours @ values)


def joint(draws: np.ndarray, paper: np.ndarray) -> float:
    """The share of sets of 100 images whose cells together are at least as far from the mean as the paper's."""
    middle = draws.mean(0)
    inverse = np.linalg.inv(np.cov(draws.T).reshape(len(paper), -1) + ROUNDING * np.eye(len(paper)))

    def squared(points: np.ndarray) -> np.ndarray:
        return np.einsum("ni,ij,nj->n", points - middle, inverse, points - middle)

    return float((squared(draws) >= squared(paper[None])).mean())
