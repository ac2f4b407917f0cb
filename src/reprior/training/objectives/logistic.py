"""The non-saturating logistic objective with the R1 penalty."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator
from reprior.training.discriminator import Discriminator
from reprior.training.objective import AdversarialRecipe, Objective
from reprior.training.recipe import Decay
from reprior.types import Count, NonNegative, Positive


class LogisticRecipe(AdversarialRecipe):
    """Defaults close to the recipes of the bundled generators."""

    objective: Literal["logistic"] = "logistic"
    lr: Positive = 1e-3
    beta1: Decay = 0.0
    beta2: Decay = 0.99
    discriminator_channels: Count = 32
    average_images: NonNegative = 10000.0
    flip: bool = True
    r1: NonNegative = 1.0
    """Weight of the R1 penalty, r1 / 2 * |grad D|^2."""
    r1_every: Count = 16
    """Number of steps between penalties. Each penalty is multiplied by this number."""


class Logistic(Objective):
    """L_D = -log s(D(x)) - log(1 - s(D(G(z)))) + r1 / 2 |grad D(x)|^2, L_G = -log s(D(G(z))), s(t) = 1 / (1 + e^-t).

    Goodfellow et al. 2014, Mescheder et al. 2018 (R1), Karras et al. 2020 (R1 only every `r1_every` steps).
    It is stable even if the discriminator costs a fraction of the generator.
    """

    recipe_type: ClassVar[type[AdversarialRecipe]] = LogisticRecipe

    def __init__(self, recipe: LogisticRecipe, generator: Generator) -> None:
        super().__init__(recipe, generator)
        self.r1, self.r1_every = recipe.r1, recipe.r1_every
        self.discriminator = self.new_discriminator(recipe, generator)

    def new_discriminator(self, recipe: Any, generator: Generator) -> nn.Module:
        """D, untrained."""
        return Discriminator(generator.image_shape, recipe.discriminator_channels)

    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """L_D; it is recorded without the penalty."""
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        loss = (functional.softplus(-on_real.float()) + functional.softplus(on_fake.float())).mean()
        penalised = self.r1 and step % self.r1_every == 0
        return loss + self.r1_every * self.penalty(real) if penalised else loss, {"loss_discriminator": loss}

    def loss_generator(self, fake: Tensor) -> Tensor:
        """L_G."""
        return functional.softplus(-self.discriminator(fake).float()).mean()

    def penalty(self, real: Tensor) -> Tensor:
        """R1: r1 / 2 |grad D(x)|^2, the mean over images [N, C, H, W]; always in float32."""
        real = real.detach().requires_grad_(True)
        with torch.autocast(real.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)
        return self.r1 / 2 * gradient.square().flatten(1).sum(1).mean()
