"""Training of a denoiser."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from reprior.seeds import rng_for
from reprior.training.recipe import Recipe
from reprior.training.task import Task, draw_uniform
from reprior.types import Positive

TRAINS = "network"


class DenoisingRecipe(Recipe):
    """Settings that the training of a denoiser adds."""

    task: str = "denoising"
    lr: Positive = 1e-3
    sigma: Positive = 0.1
    """Largest standard deviation of the noise, for images in [0, 1]."""


class Denoising(Task):
    """D = argmin E mean (D(x + s nu) - x)^2, nu ~ N(0, I), s ~ U[0, sigma] for each image.

    D does not know s, as in DnCNN-B (Zhang et al. 2017): the errors of plug-and-play's iterates shrink, so one level
    would be wrong for most of them. A candidate's held-out error has the same noise, always from the same draws.
    """

    trains = TRAINS
    recipe_type = DenoisingRecipe
    recipe: DenoisingRecipe

    def __init__(self, network: nn.Module, recipe: DenoisingRecipe, device: torch.device | str = "cpu") -> None:
        super().__init__(network, recipe, device)
        self.begin()

    @property
    def players(self) -> Mapping[str, tuple[nn.Module, float]]:
        """D alone."""
        return {"denoiser": (self.network, self.recipe.lr)}

    def draw_weight(self, weight: Tensor, rng: torch.Generator) -> None:
        """As PyTorch: U(-b, b), b = 1 / sqrt(fan in), so that D begins near the identity."""
        draw_uniform(weight, rng)

    def advance(self, images: np.ndarray) -> None:
        """One step of D."""
        batch, rng = self.recipe.batch, self.rng()
        rows, mirrored = torch.randint(len(images), (batch,), generator=rng), torch.rand(batch, generator=rng) < 0.5
        noise = torch.stack([self._noise(images.shape[1:], rng) for _ in range(batch)])
        x = self.drawn(images, rows, mirrored)  # [batch, C, H, W]
        x_n = (x + self.moved(noise)).contiguous(memory_format=torch.channels_last)
        self.set_rates()
        with self.autocast():
            loss = (self.network(x_n) - x).square().mean()
        self.descend("denoiser", loss)
        self.record({"loss": loss})
        self.update_average()

    @torch.no_grad()
    def errors(self, network: nn.Module, images: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        return (network(self._noisy(images)) - images).square().flatten(1).mean(1)

    @torch.no_grad()
    def samples(self, network: nn.Module, images: Tensor, count: int) -> Tensor:
        """Pairs of a held-out image with noise, and what D makes of it."""
        x_n = self._noisy(images[torch.arange(count // 2) % len(images)])
        return torch.stack([x_n, network(x_n)], 1).flatten(0, 1)

    def _noise(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """s nu: [C, H, W]"""
        s = self.recipe.sigma * torch.rand((), generator=rng)
        return s * torch.randn(shape, generator=rng)

    def _noisy(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W], each with the noise of its row."""
        rngs = [rng_for("training", "", str(row), "noise") for row in range(len(images))]
        return images + torch.stack([self._noise(tuple(images.shape[1:]), rng) for rng in rngs]).to(images)
