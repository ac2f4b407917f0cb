"""Runs one network for N images, each with its own weights (IAGAN, Deep Image Prior)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from reprior.networks.doubling import doubling
from reprior.optimise.streams import Beside

_LARGE = 2**17
"""Values in a feature map, such as 32 channels of 64x64, from which images are convolved one by one."""
_COLOURS = 4
"""At most so many channels are few for a convolution."""


class PerImage:
    """A network as a function of its weights: row i of the output uses row i of the weights.

    Works with any module. The weights of an image are one vector, so an optimiser sees one tensor instead of one per
    layer. `together` runs all images at once, through `vmap`; otherwise each image runs by itself: one after the other
    on a CPU, on streams of their own on a GPU. `together` is faster for narrow networks, since one image does not fill
    the device (BEGAN of 32 channels). It is slower for wide networks with normalisation (Deep Image Prior: 1.6 times).
    """

    def __init__(self, network: nn.Module, together: bool = True) -> None:
        self.network = network
        self.together = together
        self._beside = Beside()
        self.shapes = {name: parameter.shape for name, parameter in network.named_parameters()}

    def weights(self) -> Tensor:
        """The network's own weights as a vector: [P]."""
        return torch.cat([parameter.detach().flatten() for parameter in self.network.parameters()])

    def __call__(self, weights: Tensor, *inputs: Tensor) -> Tensor:
        """Weights [N, P] and inputs [N, ...], each without a batch axis of its own -> outputs [N, ...]."""
        on_cpu = weights.device.type == "cpu"
        if self.together:
            with _Folding() if on_cpu else nullcontext():
                return vmap(self._one)(weights, *inputs)
        rows = list(zip(weights, *inputs, strict=True))
        on_gpu = weights.device.type == "cuda"
        return torch.stack(self._beside(self._one, rows) if on_gpu else [self._one(*row) for row in rows])

    def _one(self, weights: Tensor, *inputs: Tensor) -> Tensor:
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        named = {name: part.view(shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)}
        return functional_call(self.network, named, tuple(value[None] for value in inputs))[0]


class _Folding(TorchFunctionMode):
    """Runs the costly operations with channels last in memory, as a CPU likes it: see docs/benchmarks.md.

    The images are folded into the channels, in the order of `_Folded`, or lie one after the other if their feature maps
    are large. `vmap` alone also folds them, but orders memory by image and then by channel. Convolutions with one group
    per image are slower in that order.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.conv2d:
            return _convolve(*args, **kwargs)
        if func is doubling:
            return _convolved(*args, (2, 2), (1, 1), (1, 1), True, (0, 0), 1)
        if func is functional.interpolate:
            return _Interpolate.apply(args[0], args[1:], kwargs)
        if func is functional.linear:
            return _map_linearly(*args, **kwargs)
        return func(*args, **kwargs)


def _map_linearly(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if input.shape[:-1].numel() > 1:
        return functional.linear(input, weight, bias)
    # For a single vector, the gradient of a matrix product would be transposed and need a copy.
    output = (weight * input.view(1, -1)).sum(1).view(*input.shape[:-1], -1)
    return output if bias is None else output + bias


def _convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    return _convolved(input, weight, bias, _pair(stride), _pair(padding), _pair(dilation), False, (0, 0), groups)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
    kind = x.device.type
    if torch.is_autocast_enabled(kind):  # the operations below are not on autocast's list
        dtype = torch.get_autocast_dtype(kind)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return _Convolve.apply(x, weight, bias, *geometry)


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(*args: Any) -> Tensor:
        raise NotImplementedError("a convolution that is the same for all images; compute it outside of the network")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("never called: `forward` has raised")

    @staticmethod
    def vmap(
        info: Any, dims: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any
    ) -> tuple[Tensor, int]:
        n = info.batch_size
        x, weight = _leading(x, dims[0], n), _leading(weight, dims[1], n)
        bias = None if bias is None else _leading(bias, dims[2], n)
        return _convolution_of(x, weight, geometry).apply(x, weight, bias, *geometry), 0


def _convolution_of(x: Tensor, weight: Tensor, geometry: tuple[Any, ...]) -> type[torch.autograd.Function]:
    """The fastest form for x [n, B, C, H, W] and weight [n, O, I, h, w]: see docs/benchmarks.md."""
    stride, padding, dilation, transposed, _, groups = geometry
    values = x.shape[1:].numel() * (stride[0] * stride[1] if transposed else 1)
    if values < _LARGE:
        return _Folded
    height, width = weight.shape[3:]
    same = padding == (height // 2, width // 2) and height % 2 == width % 2 == 1
    plain = stride == dilation == (1, 1) and groups == 1 and not transposed
    few = weight.shape[1] <= _COLOURS and x.dtype != torch.bfloat16  # whose sums should not be rounded
    return _Narrow if few and same and plain else _Apart


class _Folded(torch.autograd.Function):
    """One convolution for all images, which are folded into its channels: one group per image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        n = len(x)
        x = _folded(x, 0, n).contiguous(memory_format=torch.channels_last)
        ctx.geometry = *geometry[:-1], geometry[-1] * n
        bias = None if bias is None else bias.flatten()
        y = torch.convolution(x, weight.flatten(0, 1), bias, *ctx.geometry)
        ctx.save_for_backward(x, weight)
        return _restrided(y).unflatten(1, (n, -1)).movedim(1, 0).detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        n = len(weight)
        grad = _folded(grad, 0, n).contiguous(memory_format=torch.channels_last)
        of_x, *others = _gradients(grad, x, weight.flatten(0, 1), ctx.geometry, ctx.needs_input_grad[:3])
        of_x = None if of_x is None else of_x.unflatten(1, (n, -1)).movedim(1, 0)
        return of_x, *(None if other is None else other.unflatten(0, (n, -1)) for other in others), *[None] * 6


class _Apart(torch.autograd.Function):
    """One convolution per image, with the images one after the other in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        n, (x, times), ctx.geometry = len(x), _apart(x), geometry
        outputs = _Rows(n, last=True)
        for i, row in enumerate(x.split(times)):
            outputs.add(torch.convolution(row, weight[i], None if bias is None else bias[i], *geometry))
        ctx.save_for_backward(x, weight)
        return outputs.whole

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad, times = _apart(grad)
        needed = ctx.needs_input_grad[:3]
        found = [_Rows(len(weight), last=part == 0) if need else None for part, need in enumerate(needed)]
        for row in zip(grad.split(times), x.split(times), weight, strict=True):
            for rows, gradient in zip(found, _gradients(*row, ctx.geometry, needed), strict=True):
                if rows is not None and gradient is not None:
                    rows.add(gradient)
        return *(None if rows is None else rows.whole for rows in found), *[None] * 6


class _Narrow(torch.autograd.Function):
    """A convolution to a few colours, as a matrix product per image and a sum of shifted parts.

    A convolution of the library computes sixteen channels at least.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        n, B, before, H, W = x.shape
        after, _, height, width = weight.shape[1:]
        pixels = _apart(x)[0].permute(0, 2, 3, 1).reshape(n, B * H * W, before)
        taps = weight.flip(3, 4).permute(0, 1, 3, 4, 2).flatten(1, 3)  # [n, after * height * width, before]
        parts = torch.bmm(taps, pixels.mT).view(n, after, height, width, B, H, W)
        sums = x.new_zeros(n, after, B, H + height - 1, W + width - 1)
        for i in range(height):
            for j in range(width):
                sums[..., i : i + H, j : j + W] += parts[:, :, i, j]
        ctx.save_for_backward(pixels, taps)
        ctx.shape = weight.shape
        output = sums[..., height // 2 :, width // 2 :][..., :H, :W].transpose(1, 2)
        return output.contiguous() if bias is None else output + bias[:, None, :, None, None]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pixels, taps = ctx.saved_tensors
        n, after, before, height, width = ctx.shape
        patches = functional.unfold(grad.flatten(0, 1), (height, width), padding=(height // 2, width // 2))
        patches = patches.unflatten(0, (n, -1)).transpose(1, 2).flatten(2)  # [n, after * height * width, pixels]
        of_x = torch.bmm(patches.mT, taps).view(n, grad.shape[1], *grad.shape[3:], before).movedim(4, 2)
        of_weight = torch.bmm(patches, pixels).view(n, after, height, width, before).flip(2, 3).movedim(4, 2)
        return of_x, of_weight, grad.sum((1, 3, 4)) if ctx.needs_input_grad[2] else None, *[None] * 6


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, geometry: tuple[Any, ...], needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Those of a convolution's input, weight and bias."""
    back = torch.ops.aten.convolution_backward
    found: tuple[Tensor | None, ...] = back(grad, x, weight, [grad.shape[1]], *geometry, needed)
    return found


class _Rows:
    """Tensors that come one after the other, in one tensor; with channels `last` in the memory of each."""

    def __init__(self, count: int, last: bool) -> None:
        self.count, self.last, self.added = count, last, 0

    def add(self, row: Tensor) -> None:
        if self.added == 0:
            order = (0, 1, 3, 4, 2) if self.last else tuple(range(row.ndim + 1))
            self.whole = torch.empty_permuted((self.count, *row.shape), order, dtype=row.dtype, device=row.device)
        self.whole[self.added].copy_(row)
        self.added += 1


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, args: Any, kwargs: Any) -> Tensor:
        return functional.interpolate(x, *args, **kwargs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("an interpolation that is the same for all images; compute it outside of the network")

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor, args: Any, kwargs: Any) -> tuple[Tensor, int]:
        x = _leading(x, dims[0], info.batch_size)
        rows = x.flatten(0, 1)
        if rows.is_contiguous(memory_format=torch.channels_last):
            return functional.interpolate(rows, *args, **kwargs).unflatten(0, x.shape[:2]), 0
        x = functional.interpolate(_folded(x, 0, info.batch_size), *args, **kwargs)
        return _restrided(x).unflatten(1, (info.batch_size, -1)), 1


def _leading(value: Tensor, dim: int | None, n: int) -> Tensor:
    """Puts the axis of images first. A value without one is repeated for all images."""
    return value.expand(n, *value.shape) if dim is None else value.movedim(dim, 0)


def _folded(x: Tensor, dim: int | None, n: int) -> Tensor:
    """[B, C, H, W] with an axis of n images somewhere -> [B, n * C, H, W]"""
    return _restrided(_leading(x, dim, n).movedim(0, 1).flatten(1, 2))


def _apart(x: Tensor) -> tuple[Tensor, int]:
    """[n, B, C, H, W] -> [n * B, C, H, W] with channels last, and B."""
    return _restrided(x.flatten(0, 1)).contiguous(memory_format=torch.channels_last), x.shape[1]


def _restrided(x: Tensor) -> Tensor:
    """Gives the axis of a batch of one the stride by which torch recognises that channels are last in memory."""
    return x.permute(0, 2, 3, 1).squeeze(0).unsqueeze(0).permute(0, 3, 1, 2) if len(x) == 1 else x
