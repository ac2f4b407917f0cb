"""The base of every generator, and the only place where its native range becomes [0, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.networks.trained import built, trained

State = dict[str, Tensor]
"""Output of one stage of a network and input of the next: tensors [N, ...] by name."""
Stages = Mapping[str, Callable[[State], State]]
INPUT = ""
"""The layer before the first stage. Its features are the generator's inputs: {z} and any others."""


class Generator(nn.Module, ABC):
    """A network G from latents [N, *latent_shape] to images.

    A subclass in `generators/<name>.py` is made as `Subclass(**settings)`: its keyword-only arguments are its
    settings (the architecture). Its weights come from a safetensors file. It defines `stages`, or else `forward`.
    """

    latent_shape: tuple[int, ...]
    image_shape: tuple[int, int, int]
    native_range: tuple[float, float] = (-1.0, 1.0)

    def stages(self) -> Stages:
        """The stages of the network, from coarse to fine. The first takes {z}, the last returns {x}."""
        return {}

    def forward(self, z: Tensor) -> Tensor:
        """[N, *latent_shape] -> [N, C, H, W] in the native range, unclamped."""
        return _run(self.stages(), {"z": z})["x"]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the stages whose features can replace the latent. Empty if a generator does not define `stages`."""
        return tuple(self.stages())[:-1]

    def extra_inputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of further inputs, such as noise maps, which are N(0, 1). Without them it takes maps of its own."""
        return {}

    def free(self, layer: str, scales: int) -> tuple[str, ...]:
        """Names of the features of `layer` that a method may optimise. `scales`: how many scales' noise maps."""
        return ("z",) if layer == INPUT else ("h",)

    def styles_of(self, z: Tensor) -> Tensor:
        """The vectors that the layers see, [N, L, k], of latents with a vector per layer [N, L, k']."""
        return z

    def styles_before(self, layer: str) -> int:
        """How many vectors of a latent with a vector per layer only the stages up to `layer` see."""
        return 0

    def features(self, z: Tensor, layer: str) -> State:
        """G1: the output of the stage `layer` for latents [N, *latent_shape]."""
        stages = self.stages()
        return _run({name: stages[name] for name in self._up_to(layer)}, {"z": z})

    def features_from(self, features: State, layer: str, later: str) -> State:
        """The output of the stage `later` from that of the earlier stage `layer`."""
        done, wanted = self._up_to(layer), self._up_to(later)
        if len(wanted) <= len(done):
            raise UserError(f"generator {type(self).__name__}: layer '{later}' is not after '{layer}'")
        stages = self.stages()
        return _run({name: stages[name] for name in wanted[len(done) :]}, features)

    def image_from(self, features: State, layer: str) -> Tensor:
        """G2: images [N, C, H, W] on the [0, 1] scale from the output of stage `layer`, so that G(z) = G2(G1(z))."""
        done = self._up_to(layer)
        return self._scaled(_run({k: v for k, v in self.stages().items() if k not in done}, features)["x"])

    def _up_to(self, layer: str) -> tuple[str, ...]:
        if layer == INPUT:
            return ()
        if layer not in self.layer_names:
            known = ", ".join(self.layer_names) or "none"
            raise UserError(f"generator {type(self).__name__}: there is no layer '{layer}'; known: {known}")
        return self.layer_names[: self.layer_names.index(layer) + 1]

    @abstractmethod
    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """One latent from the prior, drawn on the CPU in float32: [*latent_shape]."""

    @staticmethod
    def converted(state: Mapping[str, Any], layout: str) -> dict[str, Tensor]:
        """Our state dict of a published checkpoint, whose tensors are named as in `layout`."""
        raise UserError(f"layout '{layout}': no published weights of this generator can be read")

    def image(self, z: Tensor) -> Tensor:
        """[N, *latent_shape] -> [N, C, H, W] on the [0, 1] scale, not clipped."""
        return self._scaled(self(z))

    def _scaled(self, x: Tensor) -> Tensor:
        x = x.float() if x.dtype == torch.bfloat16 else x  # pixels have more than its 8 bits
        low, high = self.native_range
        return (x - low) / (high - low)


def _run(stages: Stages, state: State) -> State:
    for stage in stages.values():
        state = stage(state)
    return state


def build_generator(spec: Mapping[str, Any]) -> Generator:
    """An untrained generator from its spec, such as `{name: began, size: 64}`."""
    return cast(Generator, built("generator", spec))


def load_generator(
    spec: Mapping[str, Any], weights: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Generator:
    """A trained generator, frozen."""
    return cast(Generator, trained("generator", {**spec, "weights": weights}, device, dtype))
