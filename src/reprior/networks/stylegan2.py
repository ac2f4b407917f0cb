"""Layers of StyleGAN2 (Karras et al. 2020): equalised linear layers, modulated convolutions, doubling with a blur."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.seeds import SHARED, rng_for

_BLUR = (0.125, 0.375, 0.375, 0.125)
"""The filter (1, 3, 3, 1) with sum 1, along each side."""
_SLOW = 0.01
"""The learning rate of the mapping network, relative to that of the others."""
_GAIN = math.sqrt(2)
"""Every LeakyReLU(x) is followed by this factor, which keeps the variance of a normal x about as it is.

As LeakyReLU(c x) = c LeakyReLU(x) for c > 0, it is part of the weights before large images: one pass less over them.
"""


def width(side: int, channels: int, widest: int) -> int:
    """Number of channels at a side: `channels` at 1024, doubled with each halving up to `widest`."""
    return min(widest, channels * 1024 // side)


def leaky(x: Tensor) -> Tensor:
    """sqrt(2) LeakyReLU(x)."""
    return functional.leaky_relu(x, 0.2) * _GAIN


class Linear(nn.Module):
    """W x / sqrt(n) + b + `offset`: a linear layer of n inputs with equalised learning rate, times `rate`."""

    def __init__(self, before: int, after: int, *, offset: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.scale, self.rate, self.offset = rate / math.sqrt(before), rate, offset
        self.weight = nn.Parameter(torch.randn(after, before))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """[N, before] -> [N, after]"""
        return functional.linear(x, self.weight * self.scale, self.bias * self.rate + self.offset)


class Conv(nn.Module):
    """A convolution with equalised learning rate and a bias, of stride 2 after the blur if it has to `halve`.

    `leaky` follows if it is `active`.
    """

    def __init__(self, before: int, after: int, kernel: int, *, halve: bool = False, active: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after))
        self.gain = _GAIN if active else 1.0
        self.scale, self.halve, self.active = self.gain / math.sqrt(before * kernel**2), halve, active

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, side, side] -> [N, after, side or its half, ...]"""
        kernel, weight, bias = self.weight.shape[-1], self.weight * self.scale, self.bias * self.gain
        if self.halve:
            x = smoothed(x, around=(kernel + 1) // 2)
            x = functional.conv2d(x, weight, bias, stride=2)
        else:
            x = functional.conv2d(x, weight, bias, padding=kernel // 2)
        return functional.leaky_relu(x, 0.2) if self.active else x


class MappingNetwork(nn.Module):
    """f: z -> w. z is normalised; each linear layer is followed by a leaky ReLU."""

    def __init__(self, latent: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(latent, latent, rate=_SLOW) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        """[N, latent] -> [N, latent]"""
        h = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            h = leaky(layer(h))
        return h


class Modulated(nn.Module):
    """A convolution's weight W that is scaled for each image by a style s: W'_oik = s_i W_oik, eq. (1).

    A convolution is linear, so its input is scaled instead. Images with different styles then share one convolution.
    With `up`, the convolution is a transposed one of stride 2.
    """

    def __init__(self, before: int, after: int, kernel: int, latent: int, *, up: bool = False) -> None:
        super().__init__()
        self.style = Linear(latent, before, offset=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.scale, self.up = 1 / math.sqrt(before * kernel**2), up
        self._kept: tuple[Tensor, int, tuple[Tensor, Tensor]] | None = None

    def styles(self, w: Tensor) -> Tensor:
        """s times the scale of W, since s has fewer numbers than W: [N, latent] -> [N, before]"""
        return self.style(w) * self.scale

    def constants(self) -> tuple[Tensor, Tensor]:
        """W as its convolution takes it, and sum_k W_oik^2 [after, before].

        Both are kept while W is frozen and unchanged. Only a change through `W.data` is not seen.
        """
        weight = self.weight
        if weight.requires_grad or not isinstance(weight, nn.Parameter):  # in training, or a weight of this call alone
            self._kept = None  # a fused Adam changes W without counting a version
            return self._constants()
        # W's memory is kept, too, so that no later weight can have its address.
        if self._kept is None or (self._kept[0].data_ptr(), self._kept[1]) != (weight.data_ptr(), weight._version):
            with torch.inference_mode(False):
                taken, squares = self._constants()
                # Otherwise each transposed convolution makes this copy: ten times its own work on small images.
                last = weight.is_contiguous(memory_format=torch.channels_last)
                taken = taken.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
                self._kept = weight.detach(), weight._version, (taken, squares)
        return self._kept[2]

    def _constants(self) -> tuple[Tensor, Tensor]:
        return self.weight.transpose(0, 1) if self.up else self.weight, self.weight.square().sum((2, 3))


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, plus its strength times noise, plus a bias, and a leaky ReLU.

    The weight is demodulated, eq. (3): W''_oik = W'_oik / sqrt(sum_ik W'_oik^2 + 1e-8). The output is scaled instead.
    """

    def __init__(self, before: int, after: int, latent: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = Modulated(before, after, 3, latent, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x [N, before, s, s], w [N, latent], noise [N, 1, side, side] -> [N, after, side, side]; side is s or 2s"""
        s, (weight, squares) = self.conv.styles(w), self.conv.constants()
        x = x * s[:, :, None, None]
        if self.conv.up:
            x = blurred(functional.conv_transpose2d(x, weight, stride=2))
        else:
            x = functional.conv2d(x, weight, padding=1)
        root = _GAIN * torch.rsqrt(functional.linear(s.square(), squares) + 1e-8)
        # All that follows is in place and in the precision of the bias, also where convolutions have bfloat16.
        x = x * root.to(self.bias)[:, :, None, None]
        x += (_GAIN * self.bias)[:, None, None]
        x += _GAIN * self.strength * noise
        return functional.leaky_relu_(x, 0.2)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to colours, and a bias: for so few colours, a product with a matrix per image."""

    def __init__(self, before: int, colours: int, latent: int) -> None:
        super().__init__()
        self.conv = Modulated(before, colours, 1, latent)
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, before, side, side], w [N, latent] -> [N, colours, side, side], channels last"""
        matrices = self.conv.weight.flatten(1) * self.conv.styles(w)[:, None]  # [N, colours, before]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, side^2, before]
        found = pixels @ matrices.transpose(1, 2) + self.bias
        return found.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def draw_equalised(network: nn.Module, rng: torch.Generator) -> None:
    """Draw weights N(0, 1), those of slow layers N(0, 1 / rate^2); biases and strengths of noise are zero."""
    rates = {id(layer.weight): layer.rate for layer in network.modules() if isinstance(layer, Linear)}
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.zero_()
            else:
                parameter.normal_(0, 1 / rates.get(id(parameter), 1.0), generator=rng)


@torch.no_grad()
def fitted(mapping: MappingNetwork, count: int = 100_000) -> tuple[Tensor, Tensor]:
    """Mean and deviation of f(z), z ~ N(0, I), without its last LeakyReLU: [latent] each. PULSE draws a million z."""
    like = next(mapping.parameters())
    rng = rng_for("stylegan2", "", SHARED, "fit")
    draws = torch.randn(count, like.shape[1], generator=rng).split(10_000)
    w = torch.cat([mapping(z.to(like)) for z in draws])
    before = torch.where(w < 0, 5 * w, w)
    return before.mean(0), before.std(0)


def blurred(x: Tensor) -> Tensor:
    """[N, C, 2s + 1, 2s + 1], a transposed convolution of stride 2 -> [N, C, 2s, 2s], blurred, with a gain of 4."""
    return smoothed(x, around=1, gain=4)


def smoothed(x: Tensor, around: int, gain: float = 1) -> Tensor:
    """[N, C, s, s] -> [N, C, s + 2 around - 3, ...]: zeros around the image, then the blur."""
    return functional.conv2d(x, _blur(x, gain), padding=around, groups=x.shape[1])


def doubled(x: Tensor) -> Tensor:
    """[N, C, s, s] -> [N, C, 2s, 2s]: zeros between the pixels, then the blur, with a gain of 4."""
    return functional.conv_transpose2d(x, _blur(x, 4), stride=2, padding=1, groups=x.shape[1])


def _blur(x: Tensor, gain: float) -> Tensor:
    """The filter with a gain, for each channel of x: [C, 1, 4, 4]. One pass is faster than one along each side."""
    return _filter(gain, x.device, x.dtype).expand(x.shape[1], 1, -1, -1)


@cache
def _filter(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The filter, copied to the device once and not in every step: [4, 4]."""
    row = torch.tensor(_BLUR, device=device, dtype=dtype)
    return gain * torch.outer(row, row)
