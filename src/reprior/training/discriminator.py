"""A small convolutional discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_COARSEST = 4


class Discriminator(nn.Module):
    """D(x): 4x4 convolutions of stride 2 with leaky ReLU down to 4x4, doubling the width, then a linear layer.

    Before the linear layer, one more channel holds how much the batch varies there (minibatch standard deviation,
    Karras et al. 2018, over the whole batch). It shows if the generator has lost its variety.
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        colours, size, _ = image_shape
        stages = (size // _COARSEST).bit_length() - 1
        widths = [colours, *(channels * 2**stage for stage in range(stages))]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1)
            for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.head = nn.Linear((widths[-1] + 1) * _COARSEST**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, size, size] in the generator's native range -> logits [N], large for images that seem real."""
        h = x
        for conv in self.convs:
            h = functional.leaky_relu(conv(h), 0.2)
        spread = h.float().var(0, unbiased=False).add(1e-8).sqrt().mean().expand(len(h), 1, *h.shape[2:])
        return self.head(torch.cat([h, spread.to(h)], 1).flatten(1)).squeeze(1)
