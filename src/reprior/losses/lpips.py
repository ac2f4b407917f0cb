"""LPIPS as a loss, for measurements that are pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.losses.base import Loss
from reprior.networks.lpips import Backbone
from reprior.operators.base import Operator
from reprior.operators.bicubic import Bicubic
from reprior.types import Count

SOURCES = {
    "net": {
        "alex": ("lpips/alexnet.pth",),
        "vgg": ("lpips/vgg16.pth",),
        "squeeze": ("lpips/squeezenet1_1.pth",),
    }
}
"""The backbone of each network."""


class LPIPS(Loss):
    """sum_l mean_hw w_l . (y_l - y0_l)^2 per image, between the pictures of A x and of y (Zhang et al. 2018).

    ILO (Daras et al. 2021) minimises it with `net: vgg`, on pictures that are reduced to a `side` of 256 as in PULSE's
    super-resolution. Pictures smaller than `least` are enlarged to it, for networks that need larger ones (ours: its
    code refuses them). If the operator hides pixels, `fill` chooses what is there:
    - `generated`: the pixels of x on both sides, with a gradient through both, as in ILO's code;
    - `detached`: the same, with a gradient through x only;
    - `black`: black on both sides.
    """

    def __init__(
        self,
        y: Tensor,
        operator: Operator,
        raw: Path,
        *,
        net: Literal["alex", "vgg", "squeeze"] = "vgg",
        fill: Literal["generated", "detached", "black"] = "generated",
        side: Count = 256,
        least: Count = 1,
    ) -> None:
        picture = operator.picture(y)
        if picture is None:
            name = type(operator).__name__.lower()
            raise UserError(f"loss lpips: measurements of the operator {name} are not pictures; use squared-error")
        self.operator, self.picture = operator, picture
        self.fill = fill if operator.hides_pixels else "black"
        self.backbone = Backbone(net, raw / SOURCES["net"][net][0], like=y)
        self.resized = _resizing(picture, side, least)
        _check_size(self.backbone, self.resized(picture[:1]))
        if self.fill == "black":
            with torch.no_grad():
                self.observed = self._features(picture)

    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        if self.fill == "black":
            picture = self.operator.picture(Ax)
            assert picture is not None, "y has a picture"
            return self._distance(self._features(picture), self.observed)
        filled = self.operator.filled(self.picture, x if self.fill == "generated" else x.detach())
        return self._distance(self._features(x), self._features(filled))

    def _features(self, picture: Tensor) -> list[Tensor]:
        return self.backbone.features(self.resized(picture))

    def _distance(self, ys: list[Tensor], y0s: list[Tensor]) -> Tensor:
        pairs = enumerate(zip(ys, y0s, strict=True))
        return torch.stack([self.backbone.distance(stage, y, y0) for stage, (y, y0) in pairs]).sum(0)


def _resizing(picture: Tensor, side: int, least: int) -> Callable[[Tensor], Tensor]:
    """[N, C, H, W] -> [N, C, side, side] by a bicubic kernel, if the pictures are larger; or at least `least` high."""
    channels, height, width = picture.shape[1:]
    if min(height, width) < least:
        size = [round(length * least / min(height, width)) for length in (height, width)]
        return partial(functional.interpolate, size=size, mode="bicubic", align_corners=False)
    if max(height, width) <= side:
        return lambda picture: picture
    if height != width or height % side:
        raise UserError(
            f"loss lpips: side {side} does not divide pictures of {height} x {width}; set `side` to a divisor, or to"
            f" {max(height, width)} to reduce nothing"
        )
    reduce = Bicubic((channels, height, width), torch.Generator(), scale=height // side, padding="reflect")
    return reduce.to(picture.device, picture.dtype).A


def _check_size(backbone: Backbone, picture: Tensor) -> None:
    try:
        with torch.no_grad():
            backbone.features(picture)
    except RuntimeError as error:
        height, width = picture.shape[-2:]
        raise UserError(
            f"loss lpips: pictures of {height} x {width} are too small for net {backbone.net}; set `least: 32`, so that"
            " they are enlarged, or use squared-error"
        ) from error
