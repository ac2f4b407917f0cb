"""A 3x3 convolution of a doubled image, without making that image."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function


class DoublingConv(nn.Conv2d):
    """Doubles an image by repeating its pixels, then convolves it: 3x3, with zeros around.

    It equals a transposed convolution of stride 2 whose 4x4 kernel holds sums of the 3x3 kernel: each new pixel sees
    2x2 different pixels, so 4 of 9 products remain. On a CPU, this form is used for weights that are frozen or given by
    the caller. In training, the other form is faster, since it has the faster gradient of the weights.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)
        self._kept: tuple[Tensor, int, Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """[N, before, h, w] -> [N, after, 2h, 2w]"""
        trained = isinstance(self.weight, nn.Parameter) and self.weight.requires_grad
        if trained or input.device.type != "cpu":
            return super().forward(functional.interpolate(input, scale_factor=2, mode="nearest"))
        return doubling(input, self._kernel(), self.bias)

    def _kernel(self) -> Tensor:
        """The 4x4 kernel, kept while the weight is a frozen parameter and unchanged."""
        weight = self.weight
        if not isinstance(weight, nn.Parameter):
            return summed(weight)
        # The weight's memory is kept, too, so that no later weight can have its address.
        if self._kept is None or (self._kept[0].data_ptr(), self._kept[1]) != (weight.data_ptr(), weight._version):
            with torch.inference_mode(False):
                kernel = summed(weight.detach()).contiguous(memory_format=torch.channels_last)
                self._kept = weight.detach(), weight._version, kernel
        return self._kept[2]


def doubling(input: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """The transposed convolution: [N, I, h, w] and a kernel [I, O, 4, 4] -> [N, O, 2h, 2w]."""
    if has_torch_function((input, kernel)):  # so that `PerImage` can replace it
        return handle_torch_function(doubling, (input, kernel), input, kernel, bias)
    return functional.conv_transpose2d(input, kernel, bias, stride=2, padding=1)


def summed(weight: Tensor) -> Tensor:
    """[O, I, 3, 3] -> [I, O, 4, 4]: each side (a, b, c) becomes (c, b + c, a + b, a)."""
    with torch.autocast(weight.device.type, enabled=False):
        return (weight.flatten(2) @ _sums(weight.dtype)).unflatten(2, (4, 4)).transpose(0, 1)


@cache
def _sums(dtype: torch.dtype) -> Tensor:
    """Which of the 9 weights each of the 16 adds: [9, 16], made once and not in every step."""
    with torch.inference_mode(False):
        side = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=dtype)
        return torch.kron(side, side).T
