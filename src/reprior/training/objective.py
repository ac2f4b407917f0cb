"""What an adversarial objective consists of: its settings, its discriminator, and what the two players minimise."""

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
    """What every adversarial training says besides."""

    objective: str
    lr_discriminator: Positive | None = None
    """Null: that of the generator."""
    discriminator_channels: Count


class Objective(nn.Module, ABC):
    """A discriminator with the losses of both players; its buffers are what else it keeps from step to step.

    A subclass is made as `Subclass(recipe, generator)`. Images come in the generator's native range. Both losses are
    computed under autocast; they are float32 sums and means of what the networks gave.
    """

    recipe_type: ClassVar[type[AdversarialRecipe]]
    """Its settings and their defaults."""
    NUMBERS: ClassVar[tuple[str, ...]] = ("loss", "loss_discriminator")
    """What is recorded of each step: `loss` is the generator's, the others come from `loss_discriminator`."""
    discriminator: nn.Module

    @abstractmethod
    def __init__(self, recipe: AdversarialRecipe, generator: Generator) -> None:
        super().__init__()

    @abstractmethod
    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """What D descends on images [N, C, H, W] of either kind, and the numbers to record."""

    @abstractmethod
    def loss_generator(self, fake: Tensor) -> Tensor:
        """What G descends on its images [N, C, H, W], once D made its step."""

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """Draw the initial value of a weight in place: by default as `draw_he`."""
        draw_he(weight, rng)
