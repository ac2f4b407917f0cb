"""SAGAN (Zhang et al., ICML 2019) for 64 pixels, as NPGD uses it for churches (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator, Stages, State
from reprior.networks.sagan import COARSEST, attentions, spectral
from reprior.types import Count

IMAGES_PER_JOB = 20


class SAGAN(Generator):
    """G(z): four transposed 4x4 convolutions from 1x1 to 32x32, then one to 64x64 and tanh; z ~ N(0, I).

    The four have spectral norm, batch normalisation and ReLU. Self-attention follows the 3rd and the 4th. In evaluation
    mode, normalisation uses the training statistics and sigma's last estimate, which are part of the weights file.

    NPGD's slides state the four layers, the attention and spectral norm; code and weights are not released.

    The paper leaves open:
    - the widths and all kernels (ours: those of the public SAGAN for PyTorch that the slides describe, 512 to 64);
    - the latent's length (ours: the default there, 128);
    - which layers have spectral norm (ours: the four, as there, and those in the attention).
    """

    def __init__(self, *, channels: Count = 64, latent: Count = 128) -> None:
        super().__init__()
        self.latent_shape = (latent,)
        self.image_shape = (3, 64, 64)
        widths = [8 * channels, 4 * channels, 2 * channels, channels]
        first = nn.ConvTranspose2d(latent, widths[0], COARSEST)
        self.convs = nn.ModuleList(map(spectral, [first, *(_doubling(*pair) for pair in pairwise(widths))]))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.attentions = attentions(widths)
        self.out = _doubling(channels, 3)

    def stages(self) -> Stages:
        """`4` to `32`, named by the side of their feature maps; then the image in [-1, 1]."""
        scales = {str(COARSEST * 2**scale): partial(self._scale, scale) for scale in range(len(self.convs))}
        return {**scales, "image": lambda state: {"x": torch.tanh(self.out(state["h"]))}}

    def _scale(self, scale: int, state: State) -> State:
        """{h} [N, width, side / 2, side / 2] -> {h} [N, width', side, side]"""
        h = state["z"][:, :, None, None] if scale == 0 else state["h"]
        h = functional.relu(self.norms[scale](self.convs[scale](h)))
        return {"h": self.attentions[scale](h)}

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(self.latent_shape, generator=rng)


def _doubling(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
