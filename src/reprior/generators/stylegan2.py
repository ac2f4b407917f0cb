"""The generator of StyleGAN2 (Karras et al. 2020, configuration F), in plain PyTorch: no compiled operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reprior.generators.base import INPUT, Generator, Stages, State
from reprior.generators.layouts import from_layout
from reprior.generators.stylegan2_layouts import LAYOUTS, noise_name
from reprior.networks.stylegan2 import MappingNetwork, StyledConv, ToRGB, doubled, draw_equalised, fitted, width
from reprior.types import Count

IMAGES_PER_JOB = 4

# The first three are the authors' weights for 1024 pixels, in three formats. The first is the file that ILO's code
# names, on Google Drive and without a published hash. Use the second at full scale: it has an https address, a size and
# a full hash. The last was trained with the most used port, by its author.
PUBLISHED = {
    "stylegan2-ffhq-1024": {
        "source": "stylegan2/stylegan2-ffhq-config-f.pt",
        "layout": "rosinality",
        "settings": {"size": 1024, "channels": 32},
    },
    "stylegan2-ffhq-1024-ada": {
        "source": "stylegan2/ffhq.pkl",
        "layout": "ada",
        "settings": {"size": 1024, "channels": 32},
    },
    "stylegan2-ffhq-1024-mmagic": {
        "source": "stylegan2/stylegan2-ffhq-config-f-official_20210327_171224-bce9310c.pth",
        "layout": "mmagic",
        "settings": {"size": 1024, "channels": 32},
    },
    "stylegan2-ffhq-256": {
        "source": "stylegan2/550000.pt",
        "layout": "rosinality",
        "settings": {"size": 256, "channels": 32},
    },
}


class StyleGAN2(Generator):
    """A style w for each layer, and a noise map for each 3x3 convolution; the image is a sum over scales, each doubled.

    `styles` says what the latent is:
    - `mapped`: z ~ N(0, I), and w = f(z) by the mapping network, the same for each layer, as in the paper;
    - `gaussian`: one z ~ N(0, I) for each layer, and w = LeakyReLU(fit_std * z + fit_mean), as in PULSE and ILO. The
      fit belongs to the weights: the mean and deviation of f(z) without its last LeakyReLU.

    The channels at side s are min(widest, channels * 1024 / s). Configuration F has 32 and 512. The paper leaves open
    whether the noise of a trained network is drawn anew. Ours: one fixed map per convolution, part of the weights, as
    in the public ports; a method may replace it in the features of `styles`.
    """

    fit_mean: Tensor
    fit_std: Tensor

    def __init__(
        self,
        *,
        size: Literal[32, 64, 128, 256, 512, 1024] = 1024,
        channels: Count = 32,
        widest: Count = 512,
        latent: Count = 512,
        mapping: Count = 8,
        styles: Literal["mapped", "gaussian"] = "mapped",
        colours: Count = 3,
    ) -> None:
        super().__init__()
        sides = [4 * 2**scale for scale in range((size // 4).bit_length())]
        widths = [width(side, channels, widest) for side in sides]
        self.sides, self.gaussian = sides, styles == "gaussian"
        self.layers = 2 * len(sides)
        self.latent_shape = (self.layers, latent) if self.gaussian else (latent,)
        self.image_shape = (colours, size, size)
        self.mapping = MappingNetwork(latent, mapping)
        self.register_buffer("fit_mean", torch.zeros(latent))
        self.register_buffer("fit_std", torch.ones(latent))
        self.constant = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.convs = nn.ModuleList([StyledConv(widths[0], widths[0], latent)])
        self.rgbs = nn.ModuleList([ToRGB(widths[0], colours, latent)])
        for before, after in pairwise(widths):
            self.convs += [StyledConv(before, after, latent, up=True), StyledConv(after, after, latent)]
            self.rgbs.append(ToRGB(after, colours, latent))
        for number, side in enumerate(self._sides_of_convs()):
            self.register_buffer(noise_name(number), torch.zeros(side, side))

    def stages(self) -> Stages:
        """`styles`, then one per scale, named by its side, `4` to `size`; then the image, unclamped."""
        scales = {str(side): partial(self._scale, scale) for scale, side in enumerate(self.sides)}
        return {"styles": self._styles, **scales, "image": lambda state: {"x": state["rgb"]}}

    def from_styles(self, features: State) -> Tensor:
        """Images [N, C, H, W] in the native range from the features of `styles`."""
        for stage in list(self.stages().values())[1:]:
            features = stage(features)
        return features["x"]

    def extra_inputs(self) -> Mapping[str, tuple[int, ...]]:
        """A noise map per 3x3 convolution: {noise_0: (1, 4, 4), noise_1: (1, 8, 8), ...}."""
        return {noise_name(number): (1, side, side) for number, side in enumerate(self._sides_of_convs())}

    def free(self, layer: str, scales: int) -> tuple[str, ...]:
        """The styles, the noise maps of the next `scales` scales, and the features h after the first scale."""
        done = self._scales_up_to(layer)
        styles = "z" if layer == INPUT or self.gaussian else "w"
        first, last = max(0, 2 * done - 1), 2 * (done + scales) - 1
        noises = (noise_name(number) for number in range(first, min(last, len(self.convs))))
        return (styles, *noises, *(("h",) if done else ()))

    def _styles(self, state: State) -> State:
        """{z, any noises} -> {w [N, layers, latent], noise_0 [N, 1, 4, 4], noise_1 [N, 1, 8, 8], noise_2, ...}

        With `gaussian` styles it keeps {z} instead of {w}, so that a method can optimise z from any scale on.
        """
        z = state["z"]
        styles = {"z": z} if self.gaussian else {"w": self.mapping(z)[:, None].expand(-1, self.layers, -1)}
        own = {name: getattr(self, name).expand(len(z), 1, -1, -1) for name in self.extra_inputs()}
        return {**styles, **own, **{name: value for name, value in state.items() if name in own}}

    def styles_before(self, layer: str) -> int:
        """The last vector that a scale sees, its RGB's, is also that of the next scale's first convolution."""
        return max(0, 2 * self._scales_up_to(layer) - 1)

    def _scales_up_to(self, layer: str) -> int:
        return self.sides.index(int(layer)) + 1 if layer not in (INPUT, "styles") else 0

    def styles_of(self, z: Tensor) -> Tensor:
        """w of `gaussian` latents [..., latent]."""
        return nn.functional.leaky_relu(z * self.fit_std + self.fit_mean, 0.2)

    def _styles_at(self, state: State, layers: slice) -> tuple[Tensor, ...]:
        """The style of each of some layers: [N, latent] each."""
        w = self.styles_of(state["z"][:, layers]) if self.gaussian else state["w"][:, layers]
        return w.unbind(1)

    def _scale(self, scale: int, state: State) -> State:
        """{w, h, rgb, noises} -> {w, h, rgb, later noises}. Without `rgb` coarser scales add nothing to the image."""
        left = dict(state)
        h = left["h"] if scale else self.constant.expand(len(left[noise_name(0)]), -1, -1, -1)
        first = max(0, 2 * scale - 1)  # one convolution at the first scale, then two
        *styles, last = self._styles_at(left, slice(first, 2 * scale + 2))
        for number, style in enumerate(styles, first):
            h = self.convs[number](h, style, left.pop(noise_name(number)))
        rgb = self.rgbs[scale](h, last)
        if "rgb" in left:
            rgb = rgb + doubled(left["rgb"])
        return {**left, "h": h, "rgb": rgb}

    def _sides_of_convs(self) -> Iterator[int]:
        """The side of the output of each 3x3 convolution: 4, 8, 8, 16, 16, ..."""
        yield self.sides[0]
        for side in self.sides[1:]:
            yield from (side, side)

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(self.latent_shape, generator=rng)

    def draw_weights(self, rng: torch.Generator) -> None:
        """Initial weights of unit variance, as equalised learning rates need, and the noise maps."""
        draw_equalised(self, rng)
        for number in range(len(self.convs)):
            getattr(self, noise_name(number)).normal_(generator=rng)

    def settle(self) -> None:
        """Fit the Gaussian of `gaussian` styles to the mapping network."""
        self.fit_mean, self.fit_std = fitted(self.mapping)

    @staticmethod
    def converted(state: Mapping[str, Any], layout: str) -> dict[str, Tensor]:
        """A public checkpoint under our names."""
        return from_layout(state, layout, LAYOUTS)
