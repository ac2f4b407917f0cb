"""Small inverse problems and a small generator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator
from reprior.methods.base import Problem
from reprior.operators.base import Operator
from reprior.operators.bicubic import Bicubic
from reprior.seeds import rng_for

IMAGE_SHAPE = (3, 16, 16)
Problems = Callable[..., Problem]


class TinyGenerator(Generator):
    """6 latents -> 16x16: a linear layer and two convolutions, in [-1, 1]."""

    latent_shape = (6,)
    image_shape = IMAGE_SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4 * 4 * 4)
        self.inner = nn.Conv2d(4, 5, 3, padding=1)
        self.out = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = functional.interpolate(self.fc(z).unflatten(1, (4, 4, 4)), scale_factor=2, mode="nearest")
        return self.out(
            functional.interpolate(functional.elu(self.inner(functional.elu(h))), scale_factor=2, mode="nearest")
        )

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        return torch.rand(self.latent_shape, generator=rng) * 2 - 1


def _truth(count: int) -> Tensor:
    """Images that the generator cannot make: [count, 3, 16, 16]."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    return functional.interpolate(coarse, size=IMAGE_SHAPE[1:], mode="bicubic").clamp(0, 1)


@pytest.fixture
def truth() -> Callable[[int], Tensor]:
    return _truth


@pytest.fixture
def generator() -> Generator:
    generator = TinyGenerator()
    rng = torch.Generator().manual_seed(1)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3, generator=rng)
    return generator.requires_grad_(False)


@pytest.fixture
def make_problem() -> Problems:
    def make(operator: Operator | None = None, count: int = 4, dtype: torch.dtype = torch.float32) -> Problem:
        operator = (operator or Bicubic(IMAGE_SHAPE, rng_for("s", "c", "*", "operator"), scale=4)).to("cpu", dtype)
        y = operator.A(_truth(count).to(dtype))
        return Problem(y, operator, "s", "c", tuple(f"{i:06}" for i in range(count)))

    return make
