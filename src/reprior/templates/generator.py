"""A small network from latents to images. Replace the layers by those of your network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator, Stages
from reprior.types import Count


class NewGenerator(Generator):
    """G(z) = sigmoid(W2 h + b2), h = relu(W1 z + b1), z ~ N(0, I)."""

    native_range = (0.0, 1.0)

    def __init__(self, *, size: Count = 64, latent: Count = 32, hidden: Count = 128) -> None:
        super().__init__()
        self.latent_shape = (latent,)
        self.image_shape = (3, size, size)
        self.first = nn.Linear(latent, hidden)
        self.second = nn.Linear(hidden, 3 * size * size)

    def stages(self) -> Stages:
        """`hidden`: {z} [N, latent] -> {h} [N, hidden]; then the image in [0, 1]."""
        return {
            "hidden": lambda state: {"h": functional.relu(self.first(state["z"]))},
            "image": lambda state: {"x": self.second(state["h"]).sigmoid().unflatten(1, self.image_shape)},
        }

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(self.latent_shape, generator=rng)
