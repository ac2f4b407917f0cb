"""NPGD's adversarial objective: the vanilla GAN loss (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.networks.npgd import CELEBA, MNIST, Falling, widths
from reprior.training.objective import AdversarialRecipe, Objective
from reprior.training.recipe import Decay
from reprior.types import Count, Positive

LAYERS = {(1, 28, 28): MNIST, (3, 64, 64): CELEBA}
"""The layers by shape of the image."""


class NPGDRecipe(AdversarialRecipe):
    """Defaults from the released code for MNIST. CelebA: lr 1.5e-4."""

    objective: Literal["npgd"] = "npgd"
    batch: Count = 128
    lr: Positive = 1e-4
    beta1: Decay = 0.5
    beta2: Decay = 0.999
    discriminator_channels: Count = 128
    dropout: Literal["paper", "released"] = "paper"
    """Dropout of the discriminator."""


class NPGD(Objective):
    """L_D = -log D(x) - log(1 - D(G(z))), L_G = -log D(G(z)): binary cross-entropies.

    D is G turned round: strided convolutions, batch normalisation, LeakyReLU(0.2), then one convolution to a number
    (1,713,281 parameters for MNIST, 11,038,337 for CelebA). Initial weights are N(0, 0.02^2), of normalisations
    N(1, 0.02^2).

    The paper leaves open: whether real and generated images are normalised as one batch (ours: separately).
    """

    recipe_type = NPGDRecipe

    def __init__(self, recipe: NPGDRecipe, generator: Generator) -> None:
        super().__init__(recipe, generator)
        shape = generator.image_shape
        if shape not in LAYERS:
            known = " or ".join(map(str, LAYERS))
            raise UserError(f"objective npgd: is for images of {known}, not {shape}; use another objective")
        layers, falling = LAYERS[shape], widths(shape[0], LAYERS[shape], recipe.discriminator_channels)
        hidden = Falling(layers[:0:-1], falling, recipe.dropout)
        self.discriminator = nn.Sequential(hidden, nn.Conv2d(falling[-1], 1, layers[0].kernel), nn.Flatten(0))

    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """L_D."""
        loss = _entropy(self.discriminator(real), 1.0) + _entropy(self.discriminator(fake), 0.0)
        return loss, {"loss_discriminator": loss}

    def loss_generator(self, fake: Tensor) -> Tensor:
        """L_G."""
        return _entropy(self.discriminator(fake), 1.0)

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """N(0, 0.02^2); N(1, 0.02^2) for a normalisation."""
        nn.init.normal_(weight, 1.0 if weight.ndim == 1 else 0.0, 0.02, generator=rng)


def _entropy(logits: Tensor, label: float) -> Tensor:
    logits = logits.float()
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
