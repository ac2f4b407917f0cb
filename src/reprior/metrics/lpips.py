"""Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "LPIPS"
BETTER = "lower"
FORMAT = ".3f"
SOURCES = {
    "net": {
        "alex": ("lpips/alexnet.pth",),
        "vgg": ("lpips/vgg16.pth",),
        "squeeze": ("lpips/squeezenet1_1.pth",),
    }
}
"""The backbone of each network."""


def lpips(
    estimate: np.ndarray,
    truth: np.ndarray,
    raw: Path,
    *,
    net: Literal["alex", "vgg", "squeeze"] = "alex",
) -> np.ndarray:
    """d(x, x0) = sum_l mean_hw w_l . (y_l - y0_l)^2 per image, [N, 3, H, W] in [0, 1] -> [N].

    y_l are the unit-normalised outputs of the backbone's stage l, and w_l the heads. Grey images [N, 1, H, W] are
    repeated to three channels. The average over images is the mean.
    """
    import torch

    from reprior.networks.lpips import Backbone

    backbone = Backbone(net, raw / SOURCES["net"][net][0])
    distances = []
    with torch.no_grad():
        for pair in zip(estimate, truth, strict=True):
            ys, y0s = (backbone.features(_batch_of_one(image)) for image in pair)
            stages = enumerate(zip(ys, y0s, strict=True))
            distances.append(sum(backbone.distance(stage, y, y0).item() for stage, (y, y0) in stages))
    return np.array(distances, dtype=np.float64)


def _batch_of_one(image: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
