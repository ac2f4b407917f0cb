"""LPIPS as a loss, for measurements that are pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.losses.base import Loss
from reprior.networks.lpips import Backbone
from reprior.operators.base import Operator

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

    ILO (Daras et al. 2021) minimises it with `net: vgg`. If the operator hides pixels, `fill` chooses what is there:
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
    ) -> None:
        picture = operator.picture(y)
        if picture is None:
            name = type(operator).__name__.lower()
            raise UserError(f"loss lpips: measurements of the operator {name} are not pictures; use squared-error")
        self.operator, self.picture = operator, picture
        self.fill = fill if operator.hides_pixels else "black"
        self.backbone = Backbone(net, raw / SOURCES["net"][net][0], like=y)
        _check_size(self.backbone, picture)
        if self.fill == "black":
            with torch.no_grad():
                self.observed = self.backbone.features(picture)

    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        if self.fill == "black":
            picture = self.operator.picture(Ax)
            assert picture is not None, "y has a picture"
            return self._distance(self.backbone.features(picture), self.observed)
        filled = self.operator.filled(self.picture, x if self.fill == "generated" else x.detach())
        return self._distance(self.backbone.features(x), self.backbone.features(filled))

    def _distance(self, ys: list[Tensor], y0s: list[Tensor]) -> Tensor:
        pairs = enumerate(zip(ys, y0s, strict=True))
        return torch.stack([self.backbone.distance(stage, y, y0) for stage, (y, y0) in pairs]).sum(0)


def _check_size(backbone: Backbone, picture: Tensor) -> None:
    try:
        with torch.no_grad():
            backbone.features(picture[:1])
    except RuntimeError as error:
        height, width = picture.shape[-2:]
        raise UserError(
            f"loss lpips: pictures of {height} x {width} are too small for net {backbone.net}; use a smaller network"
            " (squeeze, vgg) or squared-error"
        ) from error
