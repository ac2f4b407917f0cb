"""Initial weights of untrained networks."""

from __future__ import annotations

import torch
from torch import nn


def draw_convolutions(network: nn.Module, rng: torch.Generator) -> None:
    """Draw new weights for every convolution, as PyTorch initialises them: U(-b, b), b = 1 / sqrt(fan in).

    They are drawn where `rng` is, so that a network on a GPU gets the numbers of one on a CPU.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            for parameter in module.parameters():
                drawn = torch.empty(parameter.shape, dtype=parameter.dtype, device=rng.device)
                parameter.data.copy_(drawn.uniform_(-bound, bound, generator=rng))
