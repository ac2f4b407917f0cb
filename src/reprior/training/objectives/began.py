"""BEGAN's objective: the discriminator is an autoencoder, and a control loop balances the two players."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator
from reprior.training.objective import AdversarialRecipe, Objective
from reprior.training.recipe import Decay
from reprior.types import Count, Fraction, NonNegative, Positive

_COARSEST = 8


class BEGANRecipe(AdversarialRecipe):
    """Defaults from the paper, or from the public TensorFlow version if the paper states none."""

    objective: Literal["began"] = "began"
    lr: Positive = 8e-5
    halve_every: Count | None = 100_000
    lr_floor: NonNegative = 2e-5
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    discriminator_channels: Count = 128
    """n: the encoder has n channels at the full size, then 2n, 3n, ..."""
    gamma: Fraction = 0.5
    """The target ratio L(G(z)) / L(x). Lower values make images more alike, higher values more varied."""
    lambda_k: Positive = 0.001


class BEGAN(Objective):
    """L_D = L(x) - k L(G(z)) and L_G = L(G(z)), where L(v) = |v - D(v)| (Berthelot et al. 2017).

    k <- clip(k + lambda_k (gamma L(x) - L(G(z))), 0, 1) after each step, starting from 0.
    M = L(x) + |gamma L(x) - L(G(z))| measures the progress of the training.

    The paper leaves open:
    - |.|: the mean over pixels and images, in the native range, as in the public version;
    - the order of the updates: first D, then G with the new D; k from the losses in D's step;
    - z_D and z_G: the same draw for both players;
    - initial weights: Glorot and Bengio's (2010), as in the public version.
    """

    recipe_type = BEGANRecipe
    NUMBERS = ("loss", "loss_discriminator", "L(x)", "k", "M")
    k: Tensor

    def __init__(self, recipe: BEGANRecipe, generator: Generator) -> None:
        super().__init__(recipe, generator)
        self.gamma, self.lambda_k = recipe.gamma, recipe.lambda_k
        self.discriminator = Autoencoder(generator, recipe.discriminator_channels)
        self.register_buffer("k", torch.zeros(()))

    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """L_D; also updates k."""
        on_real, on_fake = self.error(real), self.error(fake)
        loss = on_real - self.k * on_fake
        balance = (self.gamma * on_real - on_fake).detach()
        self.k = (self.k + self.lambda_k * balance).clamp(0, 1)
        return loss, {"loss_discriminator": loss, "L(x)": on_real, "k": self.k, "M": on_real + balance.abs()}

    def loss_generator(self, fake: Tensor) -> Tensor:
        """L_G."""
        return self.error(fake)

    def error(self, v: Tensor) -> Tensor:
        """L(v) of images [N, C, H, W]: one number."""
        return (v.float() - self.discriminator(v).float()).abs().mean()

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """Glorot and Bengio's uniform draw; 1 for a normalisation."""
        if weight.ndim == 1:
            nn.init.ones_(weight)
        else:
            nn.init.xavier_uniform_(weight, generator=rng)


class Autoencoder(nn.Module):
    """D(v): an encoder down to 8x8 and to a code as long as the latent, then a decoder built as the generator.

    Each scale has two 3x3 convolutions with ELU and, except for the last, one of stride 2. The width grows by n per
    scale.
    """

    def __init__(self, generator: Generator, channels: int) -> None:
        super().__init__()
        colours, size, _ = generator.image_shape
        scales = (size // _COARSEST).bit_length()
        self.first = _conv(colours, channels)
        self.scales = nn.ModuleList(_scale(channels, scale, last=scale == scales) for scale in range(1, scales + 1))
        self.code = nn.Linear(scales * channels * _COARSEST**2, torch.Size(generator.latent_shape).numel())
        self.decoder = copy.deepcopy(generator)

    def forward(self, v: Tensor) -> Tensor:
        """[N, C, size, size] -> [N, C, size, size], both in the generator's native range."""
        h = functional.elu(self.first(v))
        for scale in self.scales:
            for conv in scale.children():
                h = functional.elu(conv(h))
        return self.decoder(self.code(h.flatten(1)).unflatten(1, self.decoder.latent_shape))


def _scale(channels: int, scale: int, *, last: bool) -> nn.ModuleList:
    before, here = max(scale - 1, 1) * channels, scale * channels
    convs = [_conv(before, here), _conv(here, here)]
    return nn.ModuleList(convs if last else [*convs, _conv(here, here, stride=2)])


def _conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1)
