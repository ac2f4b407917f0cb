"""The base of adversarial objectives: settings, discriminator, and the losses of both players."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from reprior.generators.base import Generator
from reprior.training.recipe import Recipe
from reprior.training.task import draw_he
from reprior.types import Count, Positive


class AdversarialRecipe(Recipe):
    """Settings that every adversarial training adds."""

    objective: str
    lr_discriminator: Positive | None = None
    """Null: the same as `lr`."""
    discriminator_channels: Count


class Objective(nn.Module, ABC):
    """A discriminator and the losses of both players. Its buffers hold any other state that it keeps between steps.

    A subclass is made as `Subclass(recipe, generator)`. Images come in the generator's native range. Both losses are
    computed under autocast. They are sums and means in float32 of the networks' outputs.
    """

    recipe_type: ClassVar[type[AdversarialRecipe]]
    """Its settings and their defaults."""
    NUMBERS: ClassVar[tuple[str, ...]] = ("loss", "loss_discriminator")
    """Names of the numbers recorded in each step. `loss` is the generator's; `loss_discriminator` gives the others."""
    discriminator: nn.Module

    @abstractmethod
    def __init__(self, recipe: AdversarialRecipe, generator: Generator) -> None:
        super().__init__()

    @abstractmethod
    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of D on real and generated images [N, C, H, W], and the numbers to record."""

    @abstractmethod
    def loss_generator(self, fake: Tensor) -> Tensor:
        """The loss of G on its images [N, C, H, W], after the step of D."""

    def generate(self, generator: Generator, latents: Tensor, rng: torch.Generator) -> Tensor:
        """Images [N, C, H, W] of latents [N, ...] for a step. `rng` is for any further draws."""
        return generator(latents)

    def regulariser(self, generator: Generator, latents: Tensor, step: int, rng: torch.Generator) -> Tensor | None:
        """What G minimises besides its loss in this step, if anything; always in float32."""
        return None

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """Draw the initial value of a weight in place: by default as `draw_he`."""
        draw_he(weight, rng)
