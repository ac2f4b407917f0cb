"""How far the vectors of a latent are from each other: PULSE's and ILO's penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from reprior.errors import UserError


def check_vectors(latent_shape: tuple[int, ...], asked: str) -> None:
    """UserError, which says what `asked` for it, if a latent is not several vectors [L, k]."""
    if len(latent_shape) != 2:
        raise UserError(
            f"{asked}: the generator has one latent vector; use one with a vector per layer, such as stylegan2 with"
            " `styles: gaussian`"
        )


def geocross(v: Tensor) -> Tensor:
    """k / 8 times the mean of D^2 over all pairs of the L vectors of each row: [N, L, k] -> [N].

    D = 2 atan2(|a - b|, |a + b|) is the angle between a and b if both have one length (Menon et al. 2020). The pairs
    of a vector with itself count, as in the released code.
    """
    a, b = v[:, :, None], v[:, None]  # [N, L, 1, k], [N, 1, L, k]
    apart, together = ((w.square().sum(-1) + 1e-9).sqrt() for w in (a - b, a + b))  # [N, L, L]
    D = 2 * torch.atan2(apart, together)
    return v.shape[-1] / 8 * D.square().mean((1, 2))
