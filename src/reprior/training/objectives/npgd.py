"""NPGD's adversarial objective: the vanilla GAN loss (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.networks.npgd import CELEBA, MNIST, Falling, widths
from reprior.training.objective import AdversarialRecipe
from reprior.training.objectives.dcgan import DCGAN
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


class NPGD(DCGAN):
    """The losses and initial weights of `dcgan`, with another D.

    D is G turned round: strided convolutions, batch normalisation, LeakyReLU(0.2), then one convolution to a number
    (1,713,281 parameters for MNIST, 11,038,337 for CelebA).

    The paper leaves open: whether real and generated images are normalised as one batch (ours: separately).
    """

    recipe_type = NPGDRecipe

    def __init__(self, recipe: NPGDRecipe, generator: Generator) -> None:
        super().__init__(recipe, generator)  # plans read the arguments in this file

    def new_discriminator(self, recipe: NPGDRecipe, generator: Generator) -> nn.Module:
        """D, untrained."""
        shape = generator.image_shape
        if shape not in LAYERS:
            known = " or ".join(map(str, LAYERS))
            raise UserError(f"objective npgd: is for images of {known}, not {shape}; use another objective")
        layers, falling = LAYERS[shape], widths(shape[0], LAYERS[shape], recipe.discriminator_channels)
        hidden = Falling(layers[:0:-1], falling, recipe.dropout)
        return nn.Sequential(hidden, nn.Conv2d(falling[-1], 1, layers[0].kernel), nn.Flatten(0))
