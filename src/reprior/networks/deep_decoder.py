"""The Deep Decoder (Heckel, Hand 2018): 1x1 convolutions, fixed upsampling, normalisation; untrained."""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.errors import UserError

Form = Literal["hybrid", "heckel"]
"""`hybrid`: that of the hybrid paper, known from its counts of parameters. `heckel`: that of the authors' release."""
DOUBLINGS = 4
_PRODUCTS = 128
"""The longest side that matrix products double. On a CPU they are twice as fast as `interpolate` at 32 pixels. Their
work per pixel grows with the side: at 512 pixels they are three times slower.
"""


class DeepDecoder(nn.Module):
    """DD(theta): a fixed input [1, k, H/16, W/16] -> [1, C, H, W] in (0, 1).

    `hybrid`: four layers of convolution, normalisation, doubling, ReLU. With biases: 4 k^2 + 15 k + 3 parameters for
    C = 3. `heckel`: four layers of convolution, doubling, ReLU, normalisation, and a fifth without doubling. No biases:
    5 k^2 + 13 k parameters for C = 3. Both end with a linear combination per pixel to C channels, and a sigmoid.

    A bias before a normalisation has no effect, since the mean is subtracted. It is counted, as in the paper, but not
    added.
    """

    def __init__(self, channels: int, image_shape: tuple[int, int, int], form: Form = "hybrid") -> None:
        super().__init__()
        self.form = form
        k, biased = channels, form == "hybrid"
        depth = DOUBLINGS if biased else DOUBLINGS + 1
        self.convs = nn.ModuleList(nn.Conv2d(k, k, 1, bias=biased) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k, track_running_stats=False) for _ in range(depth))
        self.out = nn.Conv2d(k, image_shape[0], 1, bias=biased)
        height, width = _coarsest(*image_shape[1:])
        self.input_shape = (k, height, width)
        for layer in range(DOUBLINGS):
            sides = {"rows": height * 2**layer, "columns": width * 2**layer}
            if max(sides.values()) <= _PRODUCTS:
                for name, side in sides.items():
                    self.register_buffer(f"{name}{layer}", _doubling(side, align_corners=biased), False)

    def forward(self, u: Tensor) -> Tensor:
        """[1, k, H/16, W/16] -> [1, C, H, W]"""
        h = u
        for layer, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            h = _mixed(cast(nn.Conv2d, conv).weight, h)
            if self.form == "hybrid":
                h = functional.relu(self._doubled(norm(h), layer))
            else:
                h = norm(functional.relu(self._doubled(h, layer)))
        x = _mixed(self.out.weight, h)
        return torch.sigmoid(x if self.out.bias is None else x + self.out.bias[:, None, None])

    def draw_input(self, rng: torch.Generator) -> Tensor:
        """The fixed input u of one image: N(0, 1), or U[0, 1) / 10 for `heckel`."""
        if self.form == "hybrid":
            return torch.randn(self.input_shape, generator=rng)
        return torch.rand(self.input_shape, generator=rng) / 10

    def _doubled(self, h: Tensor, layer: int) -> Tensor:
        """Bilinear; small maps by two matrix products, which also give the same bits every time on a GPU."""
        if layer == DOUBLINGS:
            return h
        if max(h.shape[2:]) > _PRODUCTS:
            corners = self.form == "hybrid"
            return functional.interpolate(h, scale_factor=2, mode="bilinear", align_corners=corners)
        rows, columns = self.get_buffer(f"rows{layer}"), self.get_buffer(f"columns{layer}")
        return rows @ (h @ columns.T)


def _counts(form: Form, colours: int) -> tuple[int, int, int]:
    """a, b and c in the number of weights, a k^2 + b k + c."""
    return (4, 12 + colours, colours) if form == "hybrid" else (5, 10 + colours, 0)


def parameters(k: int, form: Form = "hybrid", colours: int = 3) -> int:
    """Number of weights of a Deep Decoder of k channels."""
    square, linear, constant = _counts(form, colours)
    return square * k * k + linear * k + constant


def largest_below(m: int, beside: int, form: Form = "hybrid", colours: int = 3) -> int:
    """The largest k with DD(k) + `beside` < m, so that the whole image model is underparameterised."""
    square, linear, constant = _counts(form, colours)
    room = m - 1 - beside - constant
    k = (math.isqrt(linear**2 + 4 * square * room) - linear) // (2 * square) if room > 0 else 0
    if k < 1:
        raise UserError(
            f"no Deep Decoder has fewer than {m - beside} parameters ({m} measurements, {beside} latents); measure "
            "more, or set its `channels`"
        )
    return k


def _mixed(weight: Tensor, h: Tensor) -> Tensor:
    """A 1x1 convolution as a matrix product: [O, I, 1, 1] and [1, I, h, w] -> [1, O, h, w]."""
    return (weight[:, :, 0, 0] @ h.flatten(2)).unflatten(2, h.shape[2:])


def _coarsest(height: int, width: int) -> tuple[int, int]:
    """The size of the input. Normalisation needs more than one value per channel."""
    times = 2**DOUBLINGS
    if height % times or width % times or height * width <= times**2:
        raise UserError(
            f"a Deep Decoder needs image sides that are multiples of {times}, one of them at least twice that; "
            f"got {height} x {width}"
        )
    return height // times, width // times


def _doubling(side: int, align_corners: bool) -> Tensor:
    """Linear interpolation of `side` values to twice as many, as a matrix [2 * side, side]."""
    made = functional.interpolate(torch.eye(side)[None], scale_factor=2, mode="linear", align_corners=align_corners)
    return made[0].T.contiguous()
