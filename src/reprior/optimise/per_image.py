"""Runs one network for N images, each with its own weights (IAGAN, Deep Image Prior)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class PerImage:
    """A network as a function of its weights: row i of the output uses row i of the weights.

    Works with any module. The weights of an image are one vector, so an optimiser sees one tensor instead of one per
    layer. `together` runs all images at once, through `vmap`; otherwise they run one after the other. On a CPU,
    `together` is faster for narrow networks, since one image does not fill the CPU (BEGAN of 32 channels). It is slower
    for wide networks with normalisation (Deep Image Prior: 1.6 times).
    """

    def __init__(self, network: nn.Module, together: bool = True) -> None:
        self.network = network
        self.together = together
        self.shapes = {name: parameter.shape for name, parameter in network.named_parameters()}

    def weights(self) -> Tensor:
        """The network's own weights as a vector: [P]."""
        return torch.cat([parameter.detach().flatten() for parameter in self.network.parameters()])

    def __call__(self, weights: Tensor, *inputs: Tensor) -> Tensor:
        """Weights [N, P] and inputs [N, ...], each without a batch axis of its own -> outputs [N, ...]."""
        if not self.together:
            return torch.stack([self._one(*rows) for rows in zip(weights, *inputs, strict=True)])
        with _Folding():
            return vmap(self._one)(weights, *inputs)

    def _one(self, weights: Tensor, *inputs: Tensor) -> Tensor:
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        named = {name: part.view(shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)}
        return functional_call(self.network, named, tuple(value[None] for value in inputs))[0]


class _Folding(TorchFunctionMode):
    """Runs the costly operations with the images folded into the channels, last in memory: see benchmarks/bench.py.

    `vmap` alone also folds them, but orders memory by image and then by channel. Convolutions with one group per image
    are slower in that order.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.conv2d:
            return _convolve(*args, **kwargs)
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
    return _Convolve.apply(input, weight, bias, stride, padding, dilation, groups)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(*args: Any) -> Tensor:
        return functional.conv2d(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("a convolution that is the same for all images; compute it outside of the network")

    @staticmethod
    def vmap(
        info: Any, dims: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any
    ) -> tuple[Tensor, int]:
        n = info.batch_size
        stride, padding, dilation, groups = geometry
        # [n, O, I, h, w] -> [n * O, I, h, w] with channels last, in one copy
        weight = _leading(weight, dims[1], n).permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)
        bias = None if bias is None else _leading(bias, dims[2], n).flatten()
        x = _folded(x, dims[0], n).contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups * n).unflatten(1, (n, -1)), 1


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, args: Any, kwargs: Any) -> Tensor:
        return functional.interpolate(x, *args, **kwargs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("an interpolation that is the same for all images; compute it outside of the network")

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor, args: Any, kwargs: Any) -> tuple[Tensor, int]:
        x = functional.interpolate(_folded(x, dims[0], info.batch_size), *args, **kwargs)
        return _restrided(x).unflatten(1, (info.batch_size, -1)), 1


def _leading(value: Tensor, dim: int | None, n: int) -> Tensor:
    """Puts the axis of images first. A value without one is repeated for all images."""
    return value.expand(n, *value.shape) if dim is None else value.movedim(dim, 0)


def _folded(x: Tensor, dim: int | None, n: int) -> Tensor:
    """[B, C, H, W] with an axis of n images somewhere -> [B, n * C, H, W]"""
    return _restrided(_leading(x, dim, n).movedim(0, 1).flatten(1, 2))


def _restrided(x: Tensor) -> Tensor:
    """Gives the axis of a batch of one the stride by which torch recognises that channels are last in memory."""
    return x.permute(0, 2, 3, 1).squeeze(0).unsqueeze(0).permute(0, 3, 1, 2) if len(x) == 1 else x
