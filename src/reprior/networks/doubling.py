"""A 3x3 convolution of a doubled image, without making that image."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function


class DoublingConv(nn.Conv2d):
    """Doubles an image by repeating its pixels, then convolves it: 3x3, with zeros around."""

    def __init__(self, before: int, after: int, *, bias: bool = True) -> None:
        super().__init__(before, after, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """[N, before, h, w] -> [N, after, 2h, 2w]"""
        return convolved(input, self.weight, self.bias, training=self.training)


def convolved(input: Tensor, weight: Tensor, bias: Tensor | None, *, training: bool) -> Tensor:
    """The convolution of the doubled input: [N, I, h, w] and a kernel [O, I, 3, 3] -> [N, O, 2h, 2w].

    It equals a transposed convolution of stride 2 whose 4x4 kernel holds sums of the 3x3 kernel: each new pixel sees
    2x2 different pixels, so 4 of 9 products remain. This form is used for weights that are frozen or given by the
    caller. In training, the other form is faster, since it has the faster gradient of the weights. The sums are made in
    each call: they cost little, and a training may change weights in place without a trace.
    """
    if isinstance(weight, nn.Parameter) and (training or weight.requires_grad):
        return functional.conv2d(functional.interpolate(input, scale_factor=2, mode="nearest"), weight, bias, padding=1)
    return doubling(input, summed(weight), bias)


def doubling(input: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """The transposed convolution: [N, I, h, w] and a kernel [I, O, 4, 4] -> [N, O, 2h, 2w]."""
    if has_torch_function((input, kernel)):  # so that `PerImage` can replace it
        return handle_torch_function(doubling, (input, kernel), input, kernel, bias)
    return functional.conv_transpose2d(input, kernel, bias, stride=2, padding=1)


def summed(weight: Tensor) -> Tensor:
    """[O, I, 3, 3] -> [I, O, 4, 4]: each side (a, b, c) becomes (c, b + c, a + b, a)."""
    with torch.autocast(weight.device.type, enabled=False):
        return (weight.flatten(2) @ _sums(weight.dtype, weight.device)).unflatten(2, (4, 4)).transpose(0, 1)


@cache
def _sums(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Which of the 9 weights each of the 16 adds: [9, 16], made once and not in every step."""
    with torch.inference_mode(False):
        side = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=dtype, device=device)
        return torch.kron(side, side).T
