"""What every forward operator offers: y = A x, its adjoint and its pseudo-inverse."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from reprior.machine.precision import computing_in


class Operator(ABC):
    """A linear map from images [N, C, H, W] in [0, 1] to measurements [N, *measurement_shape].

    A subclass in `operators/<name>.py` is made as `Subclass(image_shape, rng, **settings)`: its keyword-only
    arguments are its settings. It draws only from `rng`, on the CPU and in float32, and keeps constant tensors as
    attributes, which `to` moves.
    """

    image_shape: tuple[int, int, int]
    measurement_shape: tuple[int, ...]
    hides_pixels: bool = False
    """True if a picture of measurements is an image in which some pixels are not observed."""

    @abstractmethod
    def A(self, x: Tensor) -> Tensor:
        """Measure: [N, C, H, W] -> [N, *measurement_shape]."""

    @abstractmethod
    def A_adjoint(self, y: Tensor) -> Tensor:
        """The adjoint A^T: [N, *measurement_shape] -> [N, C, H, W]."""

    @abstractmethod
    def A_dagger(self, y: Tensor) -> Tensor:
        """The pseudo-inverse A^+: [N, *measurement_shape] -> [N, C, H, W]."""

    def picture(self, y: Tensor) -> Tensor | None:
        """Measurements as pictures [N, C, h, w]. None if they are not pictures, which is the default."""
        del y
        return None

    def filled(self, picture: Tensor, x: Tensor) -> Tensor:
        """A picture of measurements with its hidden pixels taken from images x: [N, C, H, W]."""
        del x
        return picture

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Move every constant tensor to `device`, and the floating ones to `dtype`, in place."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device, dtype) if value.is_floating_point() else value.to(device))
        return self


def in_float32(operator: Operator) -> Operator:
    """The operator for use among networks of lower precision: it computes in float32, and so do its gradients."""
    forward, adjoint = operator.A, operator.A_adjoint
    precise = copy.copy(operator)
    vars(precise).update(
        A=lambda x: _InFloat32.apply(x, forward, adjoint),
        A_adjoint=lambda y: _InFloat32.apply(y, adjoint, forward),
        A_dagger=lambda y: _computed(operator.A_dagger, y),
    )
    return precise


class _InFloat32(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.adjoint, ctx.dtype = adjoint, x.dtype
        return _computed(linear, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _computed(ctx.adjoint, gradients[0]).to(ctx.dtype), None, None


def _computed(linear: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with computing_in("float32", x.device):
        return linear(x.float() if x.dtype == torch.bfloat16 else x)
