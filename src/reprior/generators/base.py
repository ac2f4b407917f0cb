"""What every generator offers, and the one place where its own range becomes [0, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.loading import call
from reprior.machine.files import load_tensors


class Generator(nn.Module, ABC):
    """A network G from latents [N, *latent_shape] to images.

    A subclass in `generators/<name>.py` is made as `Subclass(**settings)`: its keyword-only arguments are its
    settings (the architecture). Its weights come from a safetensors file.
    """

    latent_shape: tuple[int, ...]
    image_shape: tuple[int, int, int]
    native_range: tuple[float, float] = (-1.0, 1.0)

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """[N, *latent_shape] -> [N, C, H, W] in the native range, unclamped."""

    @abstractmethod
    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """One latent from the prior, drawn on the CPU in float32: [*latent_shape]."""

    @staticmethod
    def converted(state: Mapping[str, Any], layout: str) -> dict[str, Tensor]:
        """The state dict of a published checkpoint that names its tensors as `layout` does."""
        raise UserError(f"layout '{layout}': no published weights of this generator can be read")

    def image(self, z: Tensor) -> Tensor:
        """[N, *latent_shape] -> [N, C, H, W] on the [0, 1] scale, not clipped."""
        low, high = self.native_range
        return (self(z) - low) / (high - low)


def build_generator(spec: Mapping[str, Any]) -> Generator:
    """An untrained generator from its spec, such as `{name: began, size: 64}`; global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        generator: Generator = call("generator", spec, {})
    return generator


def load_generator(
    spec: Mapping[str, Any], weights: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Generator:
    """A trained generator, ready to be inverted: weights frozen and in channels-last order, evaluation mode."""
    generator = build_generator(spec)
    tensors, _ = load_tensors(weights)
    check_fit(generator.state_dict(), tensors, weights)
    generator.load_state_dict(tensors, assign=True)
    generator.to(device, dtype).to(memory_format=torch.channels_last)
    return generator.eval().requires_grad_(False)


def check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], weights: Path) -> None:
    """UserError where weights `found` in the file `weights` are not those that a generator expects."""
    for key in (*expected, *found):
        wanted, given = (tuple(t[key].shape) if key in t else "no such tensor" for t in (expected, found))
        if wanted != given:
            raise UserError(
                f"{weights}: does not fit the generator; '{key}' should be {wanted} but is {given}. "
                "Use weights made for these generator settings, or change the settings."
            )
