"""The BEGAN decoder of the hybrid paper (Daniels, Hand 2020): skip connections, and no biases."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator, Stages, State
from reprior.generators.began import COARSEST
from reprior.networks.doubling import DoublingConv
from reprior.types import Count

IMAGES_PER_JOB = 20


class BEGANSkip(Generator):
    """G(z): as BEGAN, but the first feature map h0, enlarged, joins the input of every scale after the first.

    The latent prior is uniform, z ~ U[-1, 1]^latent. The paper states only z and the image size. Its number of
    parameters (2,592,128 and the 64 latents) fits these widths without biases, and no other form of BEGAN. The paper
    does not say what follows the last convolution; here nothing does.
    """

    def __init__(
        self, *, size: Literal[64, 128] = 128, channels: Count = 128, latent: Count = 64, colours: Count = 3
    ) -> None:
        super().__init__()
        self.latent_shape = (latent,)
        self.image_shape = (colours, size, size)
        self.fc = nn.Linear(latent, channels * COARSEST**2, bias=False)
        finer = (size // COARSEST).bit_length() - 1
        self.blocks = nn.ModuleList(_block(channels, scale > 0) for scale in range(finer + 1))
        self.out = _conv(channels, colours)

    def stages(self) -> Stages:
        """One per scale, named by its side, `8` to `size`; each passes h0 on. Then the image, unclamped."""
        scales = {str(COARSEST * 2**scale): partial(self._scale, scale) for scale in range(len(self.blocks))}
        return {**scales, "image": lambda state: {"x": self.out(state["h"])}}

    def _scale(self, scale: int, state: State) -> State:
        """{h [N, channels, side / 2, side / 2], h0 [N, channels, 8, 8]} -> {h [N, channels, side, side], h0}"""
        if scale == 0:
            h = h0 = self.fc(state["z"]).unflatten(1, (-1, COARSEST, COARSEST))
        else:
            h0 = state["h0"]
            half = functional.interpolate(h0, scale_factor=2 ** (scale - 1), mode="nearest")
            h = torch.cat([state["h"], half], 1)
        for conv in self.blocks[scale].children():
            h = functional.elu(conv(h), inplace=True)
        return {"h": h, "h0": h0}

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ U[-1, 1]^latent."""
        return torch.rand(self.latent_shape, generator=rng) * 2 - 1


def _block(channels: int, doubling: bool) -> nn.ModuleList:
    first = DoublingConv(2 * channels, channels, bias=False) if doubling else _conv(channels, channels)
    return nn.ModuleList([first, _conv(channels, channels)])


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)
