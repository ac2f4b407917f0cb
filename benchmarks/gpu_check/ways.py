"""Ways to run one network with other weights for each image: which one a GPU does fastest."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gpu_check.loads import apart, chosen, seconds_of_step
from gpu_check.parts import Check
from reprior.optimise import per_image
from reprior.optimise.per_image import PerImage
from workloads import Workload

METHODS = ("iagan", "dip")
"""A generator, and a network with normalisation."""
SAME = 1e-4
"""What a way may change the first loss, relatively."""
MOST = 16 * 2**30
"""Bytes of patches up to which they are tried."""


def check(check: Check) -> None:
    """Each way, for each size of both methods."""
    loads = [each for each in chosen(check, quick=METHODS[:1]) if each.method in METHODS]
    for workload in check.in_time(loads, lambda each: each.name):
        images = 2 if check.quick else workload.images
        ready = workload.ready(check.settings.device, images, "float32")
        expected, ours = ready.ours(1), seconds_of_step(check, workload, images)
        found: dict[str, float] = {}
        for name, way in WAYS.items():
            if (name == "streams" and not check.cuda) or (name == "patches" and patches(workload) > MOST):
                continue
            with check.trying(f"{workload.name}: {name}"), way():
                found[name] = seconds_of_step(check, workload, images)
                difference = apart(ready.ours(1), expected)
                if not difference < SAME:
                    check.failed(f"{workload.name}: {name}", f"another loss: {difference:.1e} apart")
            gc.collect()
            if check.cuda:
                torch.cuda.empty_cache()
        text = ", ".join(f"{name} {seconds / ours:.2f}" for name, seconds in sorted(found.items(), key=lambda p: p[1]))
        check.measured(f"{workload.name}", f"ours {ours * 1e3:.3g} ms; times that: {text}", ours=ours, **found)


def patches(workload: Workload) -> int:
    """Bytes of the patches of one convolution of 3x3 on the largest feature maps, about."""
    channels = 128 if workload.method == "dip" else min(workload.size, 16384 // workload.size)
    return 4 * 9 * channels * workload.size**2 * workload.images


Way = Callable[[], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def _with_convolution(form: type[torch.autograd.Function]) -> Iterator[None]:
    """All images at once, with this form of the convolutions."""
    before = per_image._convolution_of
    per_image._convolution_of = lambda *about: form  # type: ignore[assignment]
    try:
        with _calling(lambda self, weights, *inputs: _together(self, weights, *inputs)):
            yield
    finally:
        per_image._convolution_of = before


@contextlib.contextmanager
def _calling(call: Callable[..., Tensor]) -> Iterator[None]:
    before = PerImage.__call__
    PerImage.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        PerImage.__call__ = before  # type: ignore[method-assign]


def _together(self: PerImage, weights: Tensor, *inputs: Tensor) -> Tensor:
    with per_image._Folding():
        output: Tensor = torch.func.vmap(self._one)(weights, *inputs)
    return output


def _sequential(self: PerImage, weights: Tensor, *inputs: Tensor) -> Tensor:
    return torch.stack([self._one(*rows) for rows in zip(weights, *inputs, strict=True)])


def _only_vmap(self: PerImage, weights: Tensor, *inputs: Tensor) -> Tensor:
    output: Tensor = torch.func.vmap(self._one)(weights, *inputs)
    return output


def _on_streams(self: PerImage, weights: Tensor, *inputs: Tensor) -> Tensor:
    return torch.stack(self._beside(self._one, list(zip(weights, *inputs, strict=True))))


class _Grouped(torch.autograd.Function):
    """One group per image, with channels first in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        x = x.transpose(0, 1).flatten(1, 2).contiguous()  # [B, n * C, H, W]
        ctx.geometry = *geometry[:-1], geometry[-1] * len(weight)
        ctx.save_for_backward(x, weight)
        y = torch.convolution(x, weight.flatten(0, 1), None if bias is None else bias.flatten(), *ctx.geometry)
        return y.unflatten(1, (len(weight), -1)).transpose(0, 1).detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        n, needed = len(weight), ctx.needs_input_grad[:3]
        grad = grad.transpose(0, 1).flatten(1, 2).contiguous()
        of_x, *others = per_image._gradients(grad, x, weight.flatten(0, 1), ctx.geometry, needed)
        of_x = None if of_x is None else of_x.unflatten(1, (n, -1)).transpose(0, 1)
        return of_x, *(None if other is None else other.unflatten(0, (n, -1)) for other in others), *[None] * 6


class _Patches(torch.autograd.Function):
    """A batched matrix product over patches, one matrix per image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        stride, padding, _, ctx.transposed, _, _ = geometry
        x, about = x[:, 0], {"kernel_size": weight.shape[3:], "padding": padding, "stride": stride}
        side = [_side(x.shape[2 + i], weight.shape[3 + i], stride[i], padding[i], ctx.transposed) for i in range(2)]
        if ctx.transposed:  # weight [n, C, O, h, w]
            flat = x.flatten(2)
            y = functional.fold(torch.bmm(weight.flatten(2).mT, flat), side, **about)
        else:
            flat = functional.unfold(x, **about)  # [n, C * h * w, pixels]
            y = torch.bmm(weight.flatten(2), flat).unflatten(2, side)
        ctx.save_for_backward(flat, weight)
        ctx.about, ctx.side = about, x.shape[2:]
        return y[:, None] if bias is None else y[:, None] + bias[:, None, :, None, None]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight = ctx.saved_tensors
        matrix, of_x = weight.flatten(2), None
        if ctx.transposed:
            found = functional.unfold(grad[:, 0], **ctx.about)
            of_weight, parts = torch.bmm(flat, found.mT), torch.bmm(matrix, found)
            of_x = parts.unflatten(2, ctx.side)[:, None]
        else:
            above = grad[:, 0].flatten(2)  # [n, O, pixels]
            of_weight = torch.bmm(above, flat.mT)
            if ctx.needs_input_grad[0]:
                of_x = functional.fold(torch.bmm(matrix.mT, above), ctx.side, **ctx.about)[:, None]
        of_bias = grad.sum((1, 3, 4)) if ctx.needs_input_grad[2] else None
        return of_x, of_weight.view_as(weight), of_bias, *[None] * 6


def _side(side: int, kernel: int, stride: int, padding: int, transposed: bool) -> int:
    if transposed:
        return (side - 1) * stride - 2 * padding + kernel
    return (side + 2 * padding - kernel) // stride + 1


WAYS: Mapping[str, Way] = {
    "one after the other": lambda: _calling(_sequential),
    "streams": lambda: _calling(_on_streams),
    "vmap alone": lambda: _calling(_only_vmap),
    "groups, channels last": lambda: _with_convolution(per_image._Folded),
    "groups, channels first": lambda: _with_convolution(_Grouped),
    "patches": lambda: _with_convolution(_Patches),
}
