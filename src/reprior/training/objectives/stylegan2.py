"""StyleGAN2's objective: the logistic one with R1, mixed styles, and a penalty on the lengths of paths."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.generators.stylegan2 import StyleGAN2 as StyleGenerator
from reprior.generators.stylegan2 import noise_name
from reprior.networks.stylegan2 import Conv, Linear, draw_equalised, leaky, width
from reprior.training.objectives.logistic import Logistic, LogisticRecipe
from reprior.training.recipe import Decay
from reprior.types import Count, NonNegative, Positive

_GROUP = 4
"""Images over which the last layer of D measures variety."""


class StyleGAN2Recipe(LogisticRecipe):
    """Defaults of configuration F."""

    objective: Literal["stylegan2"] = "stylegan2"  # type: ignore[assignment]  # another objective's name
    lr: Positive = 2e-3
    discriminator_widest: Count = 512
    r1: NonNegative = 10.0
    mixing: Decay = 0.9
    """Share of the images whose later layers have the style of another latent."""
    paths: NonNegative = 2.0
    """Weight of the path length penalty; 0: none."""
    paths_every: Count = 4
    """Number of steps between penalties. Each penalty is multiplied by this number."""
    paths_decay: Decay = 0.99
    """Share of the average path length that a penalty keeps."""


class StyleGAN2(Logistic):
    """L_D and L_G of `logistic`, and for G every few steps paths (||J_w^T y|| - a)^2 (Karras et al. 2020, eq. 4).

    y ~ N(0, I) / sqrt(number of pixels), and a is the average of the lengths so far. The lengths are measured on half
    of the batch, as in the released code. Noise maps are drawn anew for each image.
    """

    recipe_type = StyleGAN2Recipe
    a: Tensor

    def __init__(self, recipe: StyleGAN2Recipe, generator: Generator) -> None:
        if not isinstance(generator, StyleGenerator) or generator.gaussian:
            raise UserError("training recipe: objective stylegan2 trains a generator stylegan2 with `styles: mapped`")
        super().__init__(recipe, generator)
        self.mixing, self.paths, self.paths_every = recipe.mixing, recipe.paths, recipe.paths_every
        self.paths_decay = recipe.paths_decay
        self.register_buffer("a", torch.zeros(()))

    def new_discriminator(self, recipe: StyleGAN2Recipe, generator: Generator) -> nn.Module:
        """D, untrained."""
        return ResidualDiscriminator(generator.image_shape, recipe.discriminator_channels, recipe.discriminator_widest)

    def generate(self, generator: Generator, latents: Tensor, rng: torch.Generator) -> Tensor:
        """Images [N, C, H, W]: some with two styles, all with new noise."""
        made = cast(StyleGenerator, generator)
        return made.from_styles(self._mixed(made, latents, rng))

    def _mixed(self, made: StyleGenerator, latents: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The features of `styles`. Layers from a random one on have the style of another latent."""
        count, layers = len(latents), made.layers
        others = torch.stack([made.draw_latent(rng) for _ in range(count)]).to(latents)
        first = torch.randint(1, layers, (count,), generator=rng)
        first = torch.where(torch.rand(count, generator=rng) < self.mixing, first, layers)
        one, other = made.features(latents, "styles"), made.features(others, "styles")
        later = (torch.arange(layers) >= first[:, None]).to(latents.device)  # [N, layers]
        w = torch.where(later[..., None], other["w"], one["w"])
        names = [noise_name(number) for number in range(len(made.convs))]
        noises = {name: torch.randn(one[name].shape, generator=rng).to(latents) for name in names}
        return {"w": w, **noises}

    def regulariser(self, generator: Generator, latents: Tensor, step: int, rng: torch.Generator) -> Tensor | None:
        """The path length penalty; also updates a."""
        if not self.paths or step % self.paths_every:
            return None
        made = cast(StyleGenerator, generator)
        features = self._mixed(made, latents[: max(1, len(latents) // 2)], rng)
        x = made.from_styles(features)
        y = torch.randn(x.shape, generator=rng).to(x) / math.sqrt(x[0, 0].numel())
        (gradient,) = torch.autograd.grad((x * y).sum(), features["w"], create_graph=True)  # [n, layers, latent]
        lengths = gradient.square().sum(2).mean(1).sqrt()
        self.a = self.a.lerp(lengths.detach().mean(), 1 - self.paths_decay)
        return self.paths_every * self.paths * (lengths - self.a).square().mean()


class ResidualDiscriminator(nn.Module):
    """D(x): a residual block per scale down to 4x4, the variety of groups of images, and two linear layers."""

    def __init__(self, image_shape: tuple[int, int, int], channels: int, widest: int) -> None:
        super().__init__()
        colours, size, _ = image_shape
        sides = [size // 2**scale for scale in range((size // 4).bit_length())]
        widths = [width(side, channels, widest) for side in sides]
        self.first = Conv(colours, widths[0], 1)
        self.blocks = nn.ModuleList(_Block(before, after) for before, after in pairwise(widths))
        self.last = Conv(widths[-1] + 1, widths[-1], 3)
        self.hidden = Linear(widths[-1] * 16, widths[-1])
        self.head = Linear(widths[-1], 1)

    def draw_weights(self, rng: torch.Generator) -> None:
        """Initial weights of unit variance."""
        draw_equalised(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, size, size] in the generator's native range -> logits [N], large for images that seem real."""
        h = self.first(x)
        for block in self.blocks:
            h = block(h)
        h = self.last(torch.cat([h, varieties(h)], 1))
        return self.head(leaky(self.hidden(h.flatten(1)))).squeeze(1)


class _Block(nn.Module):
    """Two 3x3 convolutions, the second of stride 2, plus a 1x1 convolution of stride 2; the sum over sqrt(2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.one = Conv(before, before, 3)
        self.two = Conv(before, after, 3, halve=True)
        self.skip = Conv(before, after, 1, halve=True, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, side, side] -> [N, after, side / 2, side / 2]"""
        return (self.two(self.one(x)) + self.skip(x)) / math.sqrt(2)


def varieties(h: Tensor) -> Tensor:
    """[N, C, s, s] -> [N, 1, s, s]: how much a group of images varies, the mean over features (Karras et al. 2018).

    Image i belongs to group i mod (N / size of a group), as in the released code.
    """
    count = min(_GROUP, len(h)) if len(h) % min(_GROUP, len(h)) == 0 else len(h)
    groups = h.float().unflatten(0, (count, -1))  # [count, N / count, C, s, s]
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().flatten(1).mean(1)
    return deviation.repeat(count)[:, None, None, None].expand(-1, 1, *h.shape[2:]).to(h)
