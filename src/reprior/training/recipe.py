"""Settings of every recipe: how a network is trained, on how many images, and which candidates are compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from reprior.types import Count, NonNegative, Positive, Whole

Decay = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """Settings of every task; a task adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = "gan"
    steps: Count
    images: Count | None = 20_000
    """Number of images, from the first of the data set; null: all of them."""
    batch: Count = 16
    lr: Positive
    halve_every: Count | None = None
    """Number of steps between two halvings of the learning rates; null: never halved."""
    lr_floor: NonNegative = 0.0
    """Lower bound of every learning rate."""
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    average_images: NonNegative = 0.0
    """Half-life of the moving average of the weights, in images; 0: no average, the weights themselves."""
    flip: bool = False
    """Mirror each image with probability one half."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the convolutions; weights and losses stay float32."""
    seed: Whole = 0
    candidate_every: Count = 10_000
    """Steps between two candidates; the last step's weights are always one."""
    held_out: Count = 100
    """Number of images on which the candidates are compared; none of them is trained on."""

    def rate(self, lr: float, step: int) -> float:
        """The learning rate `lr` in a step, after all halvings so far."""
        factor = 0.5 ** (step // self.halve_every) if self.halve_every else 1.0
        return max(lr * factor, self.lr_floor)
