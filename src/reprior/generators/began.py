"""The plain BEGAN decoder (Berthelot et al. 2017, as in the public TensorFlow version)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator
from reprior.types import Count

_COARSEST = 8


class BEGAN(Generator):
    """G(z): a linear layer to 8x8, two 3x3 convolutions with ELU a scale, nearest doubling between scales.

    The latent prior is uniform, z ~ U[-1, 1]^latent. No activation after the last convolution, no skip connections.
    The paper leaves open the width (`channels`): 128 is that of the public version.
    """

    def __init__(self, *, size: Literal[64, 128] = 128, channels: Count = 128, latent: Count = 64) -> None:
        super().__init__()
        self.latent_shape = (latent,)
        self.image_shape = (3, size, size)
        self.fc = nn.Linear(latent, channels * _COARSEST**2)
        self.blocks = nn.ModuleList(_block(channels) for _ in range((size // _COARSEST).bit_length()))
        self.out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """[N, latent] -> [N, 3, size, size] in [-1, 1], unclamped."""
        h = self.fc(z).unflatten(1, (-1, _COARSEST, _COARSEST))  # [N, channels, 8, 8]
        for scale, block in enumerate(self.blocks):
            if scale > 0:
                h = functional.interpolate(h, scale_factor=2, mode="nearest")
            for conv in block.children():
                h = functional.elu(conv(h))
        return self.out(h)

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ U[-1, 1]^latent."""
        return torch.rand(self.latent_shape, generator=rng) * 2 - 1


def _block(channels: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
