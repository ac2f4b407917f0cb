"""The generator of Progressive Growing of GANs (Karras et al. 2018) for CelebA-HQ, at its full resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator, Stages, State
from reprior.generators.layouts import from_layout, tensor
from reprior.networks.doubling import convolved
from reprior.types import Count

WIDEST = 512
"""Length of z, and number of channels from 4x4 to 32x32. Each further doubling halves the number of channels."""
_WIDTH_TIMES_SIZE = 16384
IMAGES_PER_JOB = 10

# The first is the file that IAGAN's code names, ported from the authors' Theano release. The second is their own, in
# TensorFlow. It is not known whether both come from the same training.
PUBLISHED = {
    "pggan-celebahq-1024": {
        "source": "pggan/100_celeb_hq_network-snapshot-010403.pth",
        "layout": "ptrblck",
        "settings": {"size": 1024},
    },
    "pggan-celebahq-1024-official": {
        "source": "pggan/karras2018iclr-celebahq-1024x1024.pkl",
        "layout": "karras",
        "settings": {"size": 1024},
    },
}


class PGGAN(Generator):
    """G(z): z ~ N(0, I), normalised, spread to 4x4, then doubled to `size` with two convolutions per scale.

    Each convolution has an equalised learning rate: its weight has unit variance, and a separate scalar holds
    the factor of He et al. (2015). As in the public port of the authors' weights, these scalars are parameters.
    """

    def __init__(self, *, size: Literal[256, 512, 1024] = 1024, colours: Count = 3) -> None:
        super().__init__()
        self.latent_shape = (WIDEST,)
        self.image_shape = (colours, size, size)
        sizes = [4 * 2**scale for scale in range((size // 4).bit_length())]
        widths = [min(WIDEST, _WIDTH_TIMES_SIZE // side) for side in sizes]
        first = ScaledConv(WIDEST, widths[0], 4, padding=3)
        self.scales = nn.ModuleList([nn.ModuleList([first, _conv(widths[0], widths[0])])])
        for before, after in pairwise(widths):
            doubling = ScaledConv(before, after, 3, padding=1, doubling=True)
            self.scales.append(nn.ModuleList([doubling, _conv(after, after)]))
        self.out = ScaledConv(widths[-1], colours, 1, padding=0, gain=1.0)

    def stages(self) -> Stages:
        """One per scale, named by its side, `4` to `size`; then the image, unclamped."""
        scales = {str(4 * 2**scale): partial(self._scale, scale) for scale in range(len(self.scales))}
        return {**scales, "image": lambda state: {"x": self.out(state["h"])}}

    def _scale(self, scale: int, state: State) -> State:
        """{h} [N, width, side / 2, side / 2] -> {h} [N, width', side, side]"""
        h = normalise(state["z"])[:, :, None, None] if scale == 0 else state["h"]
        for conv in self.scales[scale].children():
            h = normalise(functional.leaky_relu(conv(h), 0.2))
        return {"h": h}

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(self.latent_shape, generator=rng)

    @staticmethod
    def converted(state: Mapping[str, Any], layout: str) -> dict[str, Tensor]:
        """A public checkpoint under our names."""
        return from_layout(state, layout, {"ptrblck": _from_ptrblck, "karras": _from_karras})


class ScaledConv(nn.Module):
    """scale * (weight * x) + bias: a convolution with equalised learning rate. With `doubling`, x is doubled first."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        *,
        padding: int,
        gain: float = math.sqrt(2),
        doubling: bool = False,
    ) -> None:
        super().__init__()
        self.padding, self.doubling = padding, doubling
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.scale = nn.Parameter(_he(self.weight, gain))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, H, W] -> [N, after, H', W']."""
        if self.doubling:
            x = convolved(x, self.weight, None, training=self.training)
        else:
            x = functional.conv2d(x, self.weight, padding=self.padding)
        return x * self.scale + self.bias[:, None, None]


def normalise(x: Tensor) -> Tensor:
    """Pixel norm: scales the channels at each position to a root mean square of one; [N, C, ...] -> the same shape."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def _conv(before: int, after: int) -> ScaledConv:
    return ScaledConv(before, after, 3, padding=1)


def _he(weight: Tensor, gain: float) -> Tensor:
    """The factor of He et al. (2015), gain / sqrt(fan-in), for a weight [after, before, h, w] of unit variance."""
    return torch.tensor(gain / math.sqrt(weight[0].numel()))


def _from_ptrblck(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The port of the authors' first release: a list of convolutions, each with its factor (of shape [1])."""
    count = sum(name.startswith("features.") and name.endswith(".conv.weight") for name in state)
    converted = {}
    for ours, theirs in _by_our_names([*(f"features.{n}" for n in range(count)), "output"]).items():
        converted[f"{ours}.weight"] = tensor(state, f"{theirs}.conv.weight")
        converted[f"{ours}.scale"] = tensor(state, f"{theirs}.wscale.scale").squeeze()
        converted[f"{ours}.bias"] = tensor(state, f"{theirs}.wscale.b")
    return converted


def _from_karras(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The authors' TensorFlow release: three networks. The third is the moving average of the first.

    The factors are constants in its code, not part of the file. The outputs of coarser scales were only for training.
    """
    converted = {}
    for ours, theirs in _by_our_names([*_layers_of_karras(state), "ToRGB_lod0"]).items():
        weight = _kernel(tensor(state, f"2/{theirs}/weight"), theirs)
        converted[f"{ours}.weight"] = weight
        converted[f"{ours}.scale"] = _he(weight, 1.0 if ours == "out" else math.sqrt(2))
        converted[f"{ours}.bias"] = tensor(state, f"2/{theirs}/bias")
    return converted


def _layers_of_karras(state: Mapping[str, Any]) -> Iterator[str]:
    """From coarse to fine. Networks that the released code trains, unlike the release, fuse doubling with Conv0."""
    yield from ("4x4/Dense", "4x4/Conv")
    for scale in (f"{2**n}x{2**n}" for n in range(3, 11)):
        if f"2/{scale}/Conv1/weight" in state:
            yield f"{scale}/Conv0_up" if f"2/{scale}/Conv0_up/weight" in state else f"{scale}/Conv0"
            yield f"{scale}/Conv1"


def _by_our_names(layers: Sequence[str]) -> dict[str, str]:
    """Maps our layer names to theirs; `layers` are from coarse to fine, the output last."""
    return {f"scales.{n // 2}.{n % 2}": name for n, name in enumerate(layers[:-1])} | {"out": layers[-1]}


def _kernel(weight: Tensor, layer: str) -> Tensor:
    """TensorFlow's weight of a layer as a convolution's weight [after, before, h, w]."""
    if layer.endswith("Dense"):  # [before, after * 16]: a 4x4 image from a vector is a padded convolution, reversed
        return weight.unflatten(1, (-1, 4, 4)).transpose(0, 1).flip(2, 3)
    if layer.endswith("up"):  # [h, w, after, before] of a transposed convolution
        return weight.permute(2, 3, 0, 1).flip(2, 3)
    return weight.permute(3, 2, 0, 1)  # [h, w, before, after]
