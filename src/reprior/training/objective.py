"""What an adversarial objective consists of: its recipe, its discriminator, and what the two players minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from reprior.generators.base import Generator
from reprior.types import Count, NonNegative, Positive, Whole

Decay = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """How a generator is trained, on what, and among which candidates it is then chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: str
    steps: Count
    images: Count | None = 20_000
    """How many images, from the first of the data set; null: all of them."""
    batch: Count = 16
    lr: Positive
    lr_discriminator: Positive | None = None
    """Null: that of the generator."""
    halve_every: Count | None = None
    """Steps after which the learning rates are halved, again and again; null: never."""
    lr_floor: NonNegative = 0.0
    """No learning rate is halved below this."""
    beta1: Decay
    beta2: Decay
    discriminator_channels: Count
    average_images: NonNegative = 0.0
    """Half-life of the moving average of the weights, in images; 0: the weights themselves."""
    flip: bool = False
    """Mirror each image with probability one half."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; weights and losses stay float32."""
    seed: Whole = 0
    candidate_every: Count = 10_000
    """Steps between two candidates; the last step's weights are always one."""
    held_out: Count = 100
    """How many images, none of them trained on, the candidates are compared on."""

    def rates(self, step: int) -> tuple[float, float]:
        """The learning rates of generator and discriminator in a step."""
        factor = 0.5 ** (step // self.halve_every) if self.halve_every else 1.0
        lr, lr_discriminator = (max(rate * factor, self.lr_floor) for rate in (self.lr, self._lr_discriminator))
        return lr, lr_discriminator

    @property
    def _lr_discriminator(self) -> float:
        return self.lr if self.lr_discriminator is None else self.lr_discriminator


class Objective(nn.Module, ABC):
    """A discriminator with the losses of both players; its buffers are what else it keeps from step to step.

    A subclass is made as `Subclass(recipe, generator)`. Images come in the generator's native range. Both losses are
    computed under autocast; they are float32 sums and means of what the networks gave.
    """

    recipe_type: ClassVar[type[Recipe]]
    """Its settings and their defaults."""
    NUMBERS: ClassVar[tuple[str, ...]] = ("loss", "loss_discriminator")
    """What is recorded of each step: `loss` is the generator's, the others come from `loss_discriminator`."""
    discriminator: nn.Module

    @abstractmethod
    def __init__(self, recipe: Recipe, generator: Generator) -> None:
        super().__init__()

    @abstractmethod
    def loss_discriminator(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """What D descends on images [N, C, H, W] of either kind, and the numbers to record."""

    @abstractmethod
    def loss_generator(self, fake: Tensor) -> Tensor:
        """What G descends on its images [N, C, H, W], once D made its step."""

    @staticmethod
    def draw_weight(weight: Tensor, rng: torch.Generator) -> None:
        """Draw the initial value of a weight in place: N(0, 2 / fan-in) (He et al. 2015), 1 for a normalisation."""
        if weight.ndim == 1:
            nn.init.ones_(weight)
        else:
            nn.init.kaiming_normal_(weight, generator=rng)
