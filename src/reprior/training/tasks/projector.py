"""Training of NPGD's projector: an inverse network against a frozen generator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.networks.npgd import Dropout
from reprior.seeds import rng_for
from reprior.training.recipe import Recipe
from reprior.training.task import Task, draw_uniform
from reprior.types import Count, NonNegative, Positive

TRAINS = "network"


class ProjectorRecipe(Recipe):
    """Defaults from the released code for MNIST. CelebA: lr 1.5e-4, batch 128."""

    batch: Count = 40
    lr: Positive = 1e-4
    images: Count | None = None
    noise: NonNegative = 1.0
    """sigma, for images in [-1, 1]."""
    latent_weight: NonNegative = 0.1
    """lambda"""


class Projector(Task):
    """min over G_dag of E ||G(G_dag(x + sigma nu)) - x||^2 + lambda ||G_dag(x + sigma nu) - z||^2, x = G(z).

    z ~ N(0, I) and nu ~ N(0, I) are new in each step; images lie in [-1, 1]. No photograph is used: the data set serves
    only to compare candidates, by the projection error ||G(G_dag(x)) - x||^2 of its held-out images.

    As in the released code, both norms are means over batch and entries. G is in evaluation mode.

    The paper leaves open: the initial weights (ours: PyTorch's, as in the code, but biases of zero).
    """

    trains = TRAINS
    recipe_type = ProjectorRecipe
    recipe: ProjectorRecipe
    NUMBERS = ("loss", "loss_images", "loss_latents")

    def __init__(
        self, network: nn.Module, recipe: ProjectorRecipe, device: torch.device | str, generator: Generator
    ) -> None:
        super().__init__(network, recipe, device)
        self.G = generator
        for shape in ("image_shape", "latent_shape"):
            ours, theirs = getattr(network, shape), getattr(generator, shape)
            if ours != theirs:
                raise UserError(f"task projector: {shape} of the network is {ours}, of the generator {theirs}")
        self.begin()

    @property
    def players(self) -> Mapping[str, tuple[nn.Module, float]]:
        """G_dag alone."""
        return {"inverse": (self.network, self.recipe.lr)}

    def draw_weight(self, weight: Tensor, rng: torch.Generator) -> None:
        """U(-b, b), b = 1 / sqrt(fan in); 1 for a normalisation."""
        draw_uniform(weight, rng)

    def advance(self, images: np.ndarray) -> None:
        """One step of G_dag."""
        self.set_rates()
        _drop_anew(self.G)
        batch, rng = self.recipe.batch, self.rng()
        z = self.moved(torch.stack([self.G.draw_latent(rng) for _ in range(batch)]))  # [batch, latent]
        nu = self.moved(torch.randn(batch, *self.G.image_shape, generator=rng))
        with self.autocast():
            of_images, of_latents = self._losses(z, nu)
        loss = of_images + self.recipe.latent_weight * of_latents
        self.descend("inverse", loss)
        self.record({"loss": loss, "loss_images": of_images, "loss_latents": of_latents})
        self.update_average()

    def _losses(self, z: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            x = self.G.image(z)  # [batch, C, H, W]
        found = self.network(x + self.recipe.noise / 2 * nu)
        # Distances in [0, 1] are half of those in [-1, 1].
        return 4 * (self.G.image(found) - x).float().square().mean(), (found - z).float().square().mean()

    @torch.no_grad()
    def errors(self, network: nn.Module, images: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        return (self._projected(network, images) - images).square().flatten(1).mean(1)

    @torch.no_grad()
    def samples(self, network: nn.Module, images: Tensor, count: int) -> Tensor:
        """Pairs of a held-out image with noise, and its projection."""
        x = images[torch.arange(count // 2) % len(images)]
        draws = [
            torch.randn(x.shape[1:], generator=rng_for("training", "", str(row), "noise")) for row in range(len(x))
        ]
        noisy = x + self.recipe.noise / 2 * torch.stack(draws).to(x)
        return torch.stack([noisy, self._projected(network, noisy)], 1).flatten(0, 1)

    def _projected(self, network: nn.Module, images: Tensor) -> Tensor:
        """P(x) = G(G_dag(x)), with everything in evaluation mode."""
        return self.G.eval().image(network(images))


def _drop_anew(generator: Generator) -> None:
    """Let only the dropout of a frozen generator draw anew in each step, as the released code does."""
    for module in generator.modules():
        if isinstance(module, Dropout):
            module.train()
