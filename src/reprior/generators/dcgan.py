"""DCGAN (Radford et al. 2016) for 64 pixels, in the form of the PyTorch examples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator, Stages, State
from reprior.generators.layouts import from_layout, part, renamed, tensor
from reprior.types import Count, Positive

IMAGES_PER_JOB = 20

# Twice as wide as the PyTorch examples: 12.7 million parameters.
PUBLISHED = {
    "dcgan-celeba-64": {
        "source": "dcgan/dcgan_celeba64_mmagic.pth",
        "layout": "mmagic",
        "settings": {"channels": 128, "output_bias": True},
    },
}


class DCGAN(Generator):
    """G(z): five transposed 4x4 convolutions from 1x1 to 64x64, batch normalisation and ReLU between them, then tanh.

    z ~ N(0, latent_std^2 I): `latent_std` is 1 in training, and 0.1 for inversion in the hybrid paper (Daniels, Hand
    2020). Normalisation uses the training statistics (`eval`), which are part of the weights file. Methods that tune
    weights do not change them. The paper leaves open the width of the last feature map (`channels`) and whether the
    output has a bias (`output_bias`).
    """

    def __init__(
        self,
        *,
        channels: Count = 64,
        latent: Count = 100,
        latent_std: Positive = 1.0,
        output_bias: bool = False,
        colours: Count = 3,
    ) -> None:
        super().__init__()
        self.latent_shape = (latent,)
        self.image_shape = (colours, 64, 64)
        self.latent_std = latent_std
        widths = [8 * channels, 4 * channels, 2 * channels, channels]
        first = nn.ConvTranspose2d(latent, widths[0], 4, bias=False)
        self.convs = nn.ModuleList([first, *(_doubling(*pair, bias=False) for pair in pairwise(widths))])
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.out = _doubling(channels, colours, bias=output_bias)

    def stages(self) -> Stages:
        """`4` to `32`, named by the side of their feature maps; then the image in [-1, 1]."""
        scales = {str(4 * 2**scale): partial(self._scale, scale) for scale in range(len(self.convs))}
        return {**scales, "image": lambda state: {"x": torch.tanh(self.out(state["h"]))}}

    def _scale(self, scale: int, state: State) -> State:
        """{h} [N, width, side / 2, side / 2] -> {h} [N, width', side, side]"""
        h = state["z"][:, :, None, None] if scale == 0 else state["h"]
        return {"h": functional.relu(self.norms[scale](self.convs[scale](h)))}

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, latent_std^2 I)."""
        return self.latent_std * torch.randn(self.latent_shape, generator=rng)

    @staticmethod
    def converted(state: Mapping[str, Any], layout: str) -> dict[str, Tensor]:
        """A public checkpoint under our names."""
        return from_layout(state, layout, {"mmagic": _from_mmagic})


def _doubling(before: int, after: int, bias: bool) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)


def _from_mmagic(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """mmagic (formerly mmgeneration) keeps generator and discriminator together, and images in the order BGR."""
    held = part(state, "state_dict")
    blocks = ["noise2feat", "upsampling.0", "upsampling.1", "upsampling.2"]
    names = {f"convs.{n}.weight": f"generator.{block}.conv.weight" for n, block in enumerate(blocks)}
    for entry in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        names |= {f"norms.{n}.{entry}": f"generator.{block}.bn.{entry}" for n, block in enumerate(blocks)}
    return renamed(held, names) | {
        "out.weight": tensor(held, "generator.output_layer.conv.weight").flip(1),
        "out.bias": tensor(held, "generator.output_layer.conv.bias").flip(0),
    }
