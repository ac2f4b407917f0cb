"""What every forward operator offers: y = A x, its adjoint and its pseudo-inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor


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
