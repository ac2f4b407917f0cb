"""The layers that the generators, inverse networks and discriminators of NPGD share (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Dropped = Literal["paper", "released"]
"""`paper`: no dropout. `released`: half of all values are dropped, in training and ever after."""
RATE = 0.5


@dataclass(frozen=True)
class Layer:
    """Kernel, stride and padding of a convolution, transposed or not."""

    kernel: int
    stride: int = 2
    padding: int = 1


MNIST = (Layer(3, 1, 0), Layer(3, 2, 0), Layer(4), Layer(4))
"""Sides 1 -> 3 -> 7 -> 14 -> 28."""
CELEBA = (Layer(4, 1, 0), Layer(4), Layer(4), Layer(4), Layer(4))
"""Sides 1 -> 4 -> 8 -> 16 -> 32 -> 64."""


class Dropout(nn.Module):
    """Sets half of the values to zero and doubles the others, in every pass: the released code never switches it off.

    Outside training, what is dropped of a row is drawn from a hash of the row itself. So equal inputs give equal
    outputs, in every batch and process. The released code draws anew in each pass; inputs differ between passes too.
    """

    def __init__(self, dropped: Dropped) -> None:
        super().__init__()
        self.always = dropped == "released"

    def forward(self, h: Tensor) -> Tensor:
        """[N, ...] -> [N, ...]"""
        if not self.always:
            return h
        return functional.dropout(h, RATE, True) if self.training else h * _kept(h.detach()) / (1 - RATE)


class Rising(nn.ModuleList):
    """The hidden blocks of G: transposed convolution, batch normalisation, LeakyReLU(0.2), dropout."""

    def __init__(self, layers: Sequence[Layer], widths: Sequence[int], dropped: Dropped) -> None:
        super().__init__(
            _block(nn.ConvTranspose2d(before, after, layer.kernel, layer.stride, layer.padding), after, dropped)
            for layer, (before, after) in zip(layers, pairwise(widths), strict=True)
        )


class Falling(nn.Sequential):
    """The hidden blocks of D and of the inverse network: as `Rising`, with ordinary convolutions."""

    def __init__(self, layers: Sequence[Layer], widths: Sequence[int], dropped: Dropped) -> None:
        super().__init__(
            *(
                _block(nn.Conv2d(before, after, layer.kernel, layer.stride, layer.padding), after, dropped)
                for layer, (before, after) in zip(layers, pairwise(widths), strict=True)
            )
        )


class Inverse(nn.Module):
    """G_dag(x): D's hidden blocks, one convolution down to 1 x 1 with LeakyReLU(0.2) and dropout, a linear layer.

    `layers` and `widths` are those of G, from its 1 x 1 to its image.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], layers: Sequence[Layer], channels: int, latent: int, dropped: Dropped
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.latent_shape = (latent,)
        falling = widths(image_shape[0], layers, channels)
        self.hidden = Falling(layers[:0:-1], falling, dropped)
        self.narrow = nn.Conv2d(falling[-1], falling[-1], layers[0].kernel)
        self.dropout = Dropout(dropped)
        self.out = nn.Linear(falling[-1], latent)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] in [0, 1] -> [N, latent]"""
        h = _to_one_pixel(self.narrow, self.hidden(2 * x - 1))
        return self.out(self.dropout(functional.leaky_relu(h, 0.2)))


def _to_one_pixel(layer: nn.Conv2d, h: Tensor) -> Tensor:
    """A convolution whose kernel is as large as its input, as a matrix product: [N, I, k, k] -> [N, O].

    For 1024 channels, a CPU takes an eighth of the time of the convolution.
    """
    weight = layer.weight
    if weight.is_contiguous(memory_format=torch.channels_last):
        h, weight = h.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
    return functional.linear(h.flatten(1), weight.flatten(1), layer.bias)


def widths(colours: int, layers: Sequence[Layer], channels: int) -> list[int]:
    """Widths from the image down: `channels` after the first halving, twice as many after each further one."""
    return [colours, *(channels * 2**halving for halving in range(len(layers) - 1))]


def _block(convolution: nn.Module, width: int, dropped: Dropped) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.LeakyReLU(0.2), Dropout(dropped))


def _kept(rows: Tensor) -> Tensor:
    """Which values of each row are kept: 1 or 0, [N, ...]."""
    kept = torch.empty(rows.shape)
    for row, mask in zip(rows.cpu(), kept, strict=True):
        digest = hashlib.blake2b(row.contiguous().float().numpy().tobytes(), digest_size=7).digest()
        mask.bernoulli_(1 - RATE, generator=torch.Generator().manual_seed(int.from_bytes(digest)))
    return kept.to(rows)
