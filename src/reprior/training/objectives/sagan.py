"""SAGAN's objective as NPGD uses it: Wasserstein loss with spectral norm (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprior.generators.base import Generator
from reprior.networks.sagan import COARSEST, Trunk, spectral
from reprior.training.objective import AdversarialRecipe, Objective
from reprior.training.recipe import Decay
from reprior.training.task import draw_uniform
from reprior.types import Count, Positive


class SAGANRecipe(AdversarialRecipe):
    """Batch from NPGD's slides; the rest from the public SAGAN for PyTorch that they describe."""

    objective: Literal["sagan"] = "sagan"
    batch: Count = 64
    lr: Positive = 1e-4
    lr_discriminator: Positive | None = 4e-4
    beta1: Decay = 0.0
    beta2: Decay = 0.9
    discriminator_channels: Count = 64


class SAGAN(Objective):
    """L_D = E D(G(z)) - E D(x), L_G = -E D(G(z)): Wasserstein's, with spectral norm to keep D Lipschitz.

    D is four 4x4 convolutions of stride 2 with LeakyReLU(0.1), widths 64 to 512, self-attention after the 3rd and the
    4th, and one convolution to a number.

    The paper leaves open:
    - the kernels, the widths and the slope (ours: those of the public SAGAN for PyTorch that the slides describe; its
      default is a gradient penalty);
    - which layers have spectral norm (ours: all of D's. In that version not the last one and not those of attention,
      which without a penalty could raise D without bound. gamma is free, as in SAGAN, so D's bound grows with it);
    - initial weights (ours: PyTorch's, as there, but biases of zero);
    - steps of D per step of G (ours: one, as there).
    """

    recipe_type = SAGANRecipe

    def __init__(self, recipe: SAGANRecipe, generator: Generator) -> None:
        super().__init__(recipe, generator)
        trunk = Trunk(generator.image_shape, recipe.discriminator_channels)
        self.discriminator = nn.Sequential(trunk, spectral(nn.Conv2d(trunk.width, 1, COARSEST)), nn.Flatten(0))

    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """L_D."""
        loss = self.discriminator(fake).float().mean() - self.discriminator(real).float().mean()
        return loss, {"loss_discriminator": loss}

    def loss_generator(self, fake: Tensor) -> Tensor:
        """L_G."""
        return -self.discriminator(fake).float().mean()

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """As PyTorch: U(-b, b), b = 1 / sqrt(fan in); 1 for a normalisation."""
        draw_uniform(weight, rng)
