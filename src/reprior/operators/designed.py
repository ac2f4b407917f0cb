"""Compressed sensing with the matrix that NPGD designs for a generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.machine.files import load_tensors
from reprior.operators.dense import DenseOperator, measurement_count
from reprior.seeds import rng_for
from reprior.types import Count, Fraction

# The settings of `design`. A plan names the file of the matrix after them, and sets `matrix` to it.
DESIGNED_FOR_GENERATOR = ("variant", "images", "pairs", "block")
MOST = 5000
"""The largest m of the paper. A file has no more rows."""


class Designed(DenseOperator):
    """y = A x: the rows of A are the first m eigenvectors of S = sum_p d_p d_p^T (NPGD: Raj, Li, Bresler, ICCV 2019).

    d_p = (G(z) - G(z')) / ||G(z) - G(z')|| for `pairs` random pairs of `images` generated images. Both images of a pair
    are in the same block of `block` images. The rows are orthonormal, so A^+ = A^T. `ratio` is m/n and `measurements`
    is m: give one of them. Defaults are those for MNIST; for CelebA, the paper has images = 20,000, pairs = 100,000.

    `variant: released` is what the released code does. By an error in an index, only the first `block` pairs of each
    block enter S: 10,000 of 50,000.

    `matrix` is the file that `design` made. The first m of its rows are A, so one file does for every m.

    The paper leaves open: how pairs are drawn (ours: uniformly, with repetition); the signs of rows (ours: the largest
    entry is positive); the rows beyond the rank of S (ours: any that are orthonormal).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        ratio: Fraction | None = None,
        measurements: Count | None = None,
        variant: Literal["paper", "released"] = "paper",
        images: Count = 10000,
        pairs: Count = 50000,
        block: Count = 500,
        matrix: str | None = None,
    ) -> None:
        del rng, variant, images, pairs, block  # what was drawn is in the file
        n = math.prod(image_shape)
        m = measurement_count("designed", n, ratio, measurements)
        if matrix is None:
            raise UserError("operator designed: `matrix` is missing: a file that `reprior design` made; plans set it")
        self.image_shape = image_shape
        self.measurement_shape = (m,)
        self.rows = _first_rows(Path(matrix), m, n)  # [m, n]

    def A_dagger(self, y: Tensor) -> Tensor:
        """As `A_adjoint`."""
        return self.A_adjoint(y)

    @staticmethod
    @torch.no_grad()
    def design(
        generated: Callable[[range], Tensor],
        *,
        variant: Literal["paper", "released"] = "paper",
        images: int = 10000,
        pairs: int = 50000,
        block: int = 500,
    ) -> dict[str, Tensor]:
        """`rows` [k, n], k = min(n, 5000), and `eigenvalues` [k] of S, the largest first.

        `generated` gives the images [N, C, H, W] of a range of numbers: the same numbers, the same images.
        """
        blocks, count = _split(images, pairs, block)
        entering = min(count, block) if variant == "released" else count

        def differences(b: int) -> Tensor:
            return _differences(generated(range(b * block, (b + 1) * block)), _pairs(b, count, block)[:, :entering])

        S = reduce(torch.add, (d.T @ d for d in map(differences, range(blocks))))
        eigenvalues, vectors = torch.linalg.eigh(S)  # ascending, in columns
        k = min(len(S), MOST)
        rows = _with_signs(vectors.T.flip(0)[:k])
        return {"rows": rows.float(), "eigenvalues": eigenvalues.flip(0)[:k].float()}


def _first_rows(path: Path, m: int, n: int) -> Tensor:
    rows = load_tensors(path)[0]["rows"]
    if rows.shape[1] != n:
        raise UserError(f"operator designed: {path} is for images of {rows.shape[1]} values, and these have {n}")
    if m > len(rows):
        raise UserError(f"operator designed: {m} measurements, but {path} has {len(rows)} rows; ask for no more")
    return rows[:m].clone()  # the others need not stay in memory


def _split(images: int, pairs: int, block: int) -> tuple[int, int]:
    """The number of blocks, and of pairs in each."""
    if block < 2 or images % block:
        raise UserError(f"operator designed: `images` ({images}) must be a multiple of `block` ({block}), at least 2")
    blocks = images // block
    if pairs % blocks:
        raise UserError(f"operator designed: `pairs` ({pairs}) must be a multiple of the number of blocks ({blocks})")
    return blocks, pairs // blocks


def _pairs(b: int, count: int, block: int) -> Tensor:
    """Positions of two different images of a block, `count` times: [2, count]."""
    rng = rng_for("design", "", str(b), "pairs")
    i = torch.randint(block, (count,), generator=rng)
    j = (i + 1 + torch.randint(block - 1, (count,), generator=rng)) % block
    return torch.stack([i, j])


def _differences(x: Tensor, pairs: Tensor) -> Tensor:
    """The rows d_p, in float64: [P, n]. Two equal images give zeros."""
    i, j = pairs.to(x.device)
    flat = x.flatten(1).double()
    return functional.normalize(flat[i] - flat[j])


def _with_signs(rows: Tensor) -> Tensor:
    """The rows, each times 1 or -1, so that they do not depend on the solver's choice."""
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))  # [k, 1]
    return rows * largest.sign()
