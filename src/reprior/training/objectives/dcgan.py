"""DCGAN's objective, as in the PyTorch examples."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator
from reprior.training.objective import AdversarialRecipe, Objective
from reprior.training.recipe import Decay
from reprior.types import Count, Positive

_COARSEST = 4


class DCGANRecipe(AdversarialRecipe):
    """Defaults from the PyTorch examples."""

    objective: Literal["dcgan"] = "dcgan"
    batch: Count = 64
    lr: Positive = 2e-4
    beta1: Decay = 0.5
    beta2: Decay = 0.999
    discriminator_channels: Count = 64


class DCGAN(Objective):
    """L_D = -log D(x) - log(1 - D(G(z))), L_G = -log D(G(z)) (Radford et al. 2016), binary cross-entropies.

    Initial weights are N(0, 0.02^2); those of batch normalisation are N(1, 0.02^2).
    """

    recipe_type: ClassVar[type[AdversarialRecipe]] = DCGANRecipe

    def __init__(self, recipe: AdversarialRecipe, generator: Generator) -> None:
        super().__init__(recipe, generator)
        self.discriminator = self.new_discriminator(recipe, generator)

    def new_discriminator(self, recipe: Any, generator: Generator) -> nn.Module:
        """D, untrained."""
        return Classifier(generator.image_shape, recipe.discriminator_channels)

    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """L_D; real and generated images are normalised as separate batches."""
        loss = _entropy(self.discriminator(real), 1.0) + _entropy(self.discriminator(fake), 0.0)
        return loss, {"loss_discriminator": loss}

    def loss_generator(self, fake: Tensor) -> Tensor:
        """L_G."""
        return _entropy(self.discriminator(fake), 1.0)

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """N(0, 0.02^2); N(1, 0.02^2) for a normalisation."""
        nn.init.normal_(weight, 1.0 if weight.ndim == 1 else 0.0, 0.02, generator=rng)


class Classifier(nn.Module):
    """D(v) before its sigmoid: 4x4 convolutions of stride 2 with batch normalisation and leaky ReLU down to 4x4.

    The width doubles, starting from `channels`. The first convolution is not normalised, and none has a bias.
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        colours, size, _ = image_shape
        stages = (size // _COARSEST).bit_length() - 1
        widths = [channels * 2**stage for stage in range(stages)]
        self.first = _halving(colours, channels)
        self.convs = nn.ModuleList(_halving(before, after) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.head = nn.Conv2d(widths[-1], 1, _COARSEST, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        """[N, C, size, size] in the generator's native range -> logits [N], large for images that seem real."""
        h = functional.leaky_relu(self.first(v), 0.2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = functional.leaky_relu(norm(conv(h)), 0.2)
        return self.head(h).flatten()


def _halving(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)


def _entropy(logits: Tensor, label: float) -> Tensor:
    logits = logits.float()
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
