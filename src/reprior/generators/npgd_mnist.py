"""NPGD's generator of MNIST digits (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from reprior.generators.base import Generator, Stages, State
from reprior.networks.npgd import MNIST, Dropped, Layer, Rising, widths
from reprior.types import Count

IMAGES_PER_JOB = 64


class NPGDGenerator(Generator):
    """G(z): transposed convolutions with batch normalisation, LeakyReLU(0.2) and dropout between them, then tanh.

    z ~ N(0, I). Normalisation uses the training statistics, which are part of the weights file.
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    """Sides of the feature maps."""

    def __init__(self, image_shape: tuple[int, int, int], channels: int, latent: int, dropout: Dropped) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.latent_shape = (latent,)
        rising = widths(image_shape[0], self.layers, channels)[:0:-1]
        self.hidden = Rising(self.layers[:-1], [latent, *rising], dropout)
        last = self.layers[-1]
        self.out = nn.ConvTranspose2d(channels, image_shape[0], last.kernel, last.stride, last.padding)

    def stages(self) -> Stages:
        """One stage for each feature map, named by its side; then the image in [-1, 1]."""
        hidden = {name: partial(self._hidden, number) for number, name in enumerate(self.names)}
        return {**hidden, "image": lambda state: {"x": torch.tanh(self.out(state["h"]))}}

    def _hidden(self, number: int, state: State) -> State:
        h = state["z"][:, :, None, None] if number == 0 else state["h"]
        return {"h": self.hidden[number](h)}

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(self.latent_shape, generator=rng)


class NPGDMNIST(NPGDGenerator):
    """28 x 28 grey pixels: 1 -> 3 -> 7 -> 14 -> 28; 2,169,473 parameters as released.

    `dropout: released` is that of the released code, which is never switched off. The paper leaves open: the width
    (ours: the code's, 128).
    """

    layers = MNIST
    names = ("3", "7", "14")

    def __init__(
        self, *, channels: Count = 128, latent: Count = 100, dropout: Literal["paper", "released"] = "paper"
    ) -> None:
        super().__init__((1, 28, 28), channels, latent, dropout)
