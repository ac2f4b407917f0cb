"""How close a generator comes to images if only its latent is fitted."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reprior.generators.base import Generator
from reprior.seeds import rng_for


def fit_latents(
    generator: Generator, images: Tensor, *, steps: int = 300, lr: float = 0.1, together: int = 20
) -> tuple[Tensor, Tensor]:
    """Minimise ||G(z) - x||^2 over z alone with Adam, from a draw of the prior, for each of N images [N, C, H, W].

    Returns the best iterate of each image: latents [N, *latent_shape] and mean squared errors on the [0, 1] scale [N].
    `together` images are fitted at a time. This affects the memory but not the result.
    """
    rngs = [rng_for("training", "", str(row), "fit") for row in range(len(images))]
    starts = torch.stack([generator.draw_latent(rng) for rng in rngs]).to(images)
    parts = zip(starts.split(together), images.split(together), strict=True)
    fits = [_fit(generator, z, part, steps, lr) for z, part in parts]
    return torch.cat([z for z, _ in fits]), torch.cat([errors for _, errors in fits])


def _fit(generator: Generator, start: Tensor, images: Tensor, steps: int, lr: float) -> tuple[Tensor, Tensor]:
    z = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([z], lr=lr)
    best, best_z = torch.full([len(images)], math.inf).to(images), start.clone()
    for step in range(steps + 1):
        error = (generator.image(z) - images).square().flatten(1).mean(1)  # [n]
        better = error.detach() < best
        best = torch.where(better, error.detach(), best)
        best_z[better] = z.detach()[better]
        if step < steps:
            adam.zero_grad()
            error.sum().backward(inputs=[z])
            adam.step()
    return best_z, best


def decibels(error: float) -> float:
    """10 log10(1 / mean squared error). The error is already a mean over images."""
    return -10 * math.log10(error)
