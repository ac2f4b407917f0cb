"""The networks of LPIPS (Zhang et al. 2018), version 0.1: a backbone, and heads that weigh its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError

LAYERS = {
    "alex": ("0", "pool 3", "pool 6", "8", "10"),
    "vgg": ("0 2", "pool 5 7", "pool 10 12 14", "pool 17 19 21", "pool 24 26 28"),
    "squeeze": ("0", "pool 3 4", "pool 6 7", "pool 9", "10", "11", "12"),
}
"""The stages of each backbone whose outputs are compared. Layers are numbered as in torchvision's `features`."""
STRIDE_AND_PADDING = {"alex": (4, 2), "vgg": (1, 1), "squeeze": (2, 0)}
"""Of the first convolution; all others have stride 1 and keep the size."""
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for images in [-1, 1]."""


class Backbone:
    """The stage outputs y_l of one network, and the heads w_l. The weights have the dtype and device of `like`.

    The backbone is read from `path` (torchvision's ImageNet weights, or only their `features.*`), the heads from the
    `lpips` package. The package itself is not imported, because that takes 9 s with torchvision.
    """

    def __init__(self, net: str, path: Path, like: Tensor | None = None) -> None:
        self.net = net
        backbone, heads = _weights(net, path)
        like = torch.empty(0) if like is None else like
        # Channels last takes 13% less time on a CPU for SqueezeNet (64 pixels), and 5% more for VGG (256 pixels).
        self.order = torch.channels_last if net == "squeeze" else torch.contiguous_format
        self.backbone = {key: value.to(like) for key, value in backbone.items()}
        self.heads = [heads[f"lin{stage}.model.1.weight"].to(like) for stage in range(len(LAYERS[net]))]
        self.shift, self.scale = torch.tensor((SHIFT, SCALE)).to(like)[:, :, None, None]

    def features(self, x: Tensor) -> list[Tensor]:
        """The unit-normalised output of each stage: [N, 3 or 1, H, W] in [0, 1] -> [N, C, h, w] each."""
        x = self._prepared(x).contiguous(memory_format=self.order)
        return [_unit(y) for y in _stages(self.net, self.backbone, x)]

    def distance(self, stage: int, y: Tensor, y0: Tensor) -> Tensor:
        """mean_hw w_l . (y_l - y0_l)^2 of one stage: [N, C, h, w] -> [N]."""
        return ((y - y0).square() * self.heads[stage]).sum(1).flatten(1).mean(1)

    def _prepared(self, x: Tensor) -> Tensor:
        """[N, 3 or 1, H, W] in [0, 1] -> what the backbones expect: [N, 3, H, W]."""
        return (x * 2 - 1 - self.shift) / self.scale


def _unit(y: Tensor) -> Tensor:
    return y / (y.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _stages(net: str, backbone: Mapping[str, Tensor], x: Tensor) -> Iterator[Tensor]:
    """The output of each stage: [N, 3, H, W] -> [N, C, h, w] each."""
    size = 2 if net == "vgg" else 3
    for stage in LAYERS[net]:
        for layer in stage.split():
            if layer == "pool":
                x = functional.max_pool2d(x, size, 2, ceil_mode=net == "squeeze")
            elif f"{layer}.weight" in backbone:
                x = _conv(backbone, layer, x, *(STRIDE_AND_PADDING[net] if layer == "0" else (1, None)))
            else:  # SqueezeNet's "fire": few channels, then many from two kernel sizes
                x = _conv(backbone, f"{layer}.squeeze", x)
                x = torch.cat([_conv(backbone, f"{layer}.{part}", x) for part in ("expand1x1", "expand3x3")], 1)
        yield x


def _conv(backbone: Mapping[str, Tensor], layer: str, x: Tensor, stride: int = 1, padding: int | None = None) -> Tensor:
    """A convolution and ReLU."""
    weight = backbone[f"{layer}.weight"]
    same = weight.shape[-1] // 2 if padding is None else padding
    return functional.relu(functional.conv2d(x, weight, backbone[f"{layer}.bias"], stride, same))


@lru_cache(maxsize=3)
def _weights(net: str, path: Path) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
    """The convolutions of a backbone, without the prefix `features.`, and the heads."""
    from reprior.acquire.checkpoints import read_checkpoint

    if not path.is_file():
        raise UserError(f"{path}: no such file; LPIPS needs the weights of its backbone there (snakemake acquire)")
    state = read_checkpoint(path)
    backbone = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    heads = read_checkpoint(_heads(net))
    _check(net, backbone, heads, path)
    return backbone, heads


def _heads(net: str) -> Path:
    spec = find_spec("lpips")
    assert spec is not None and spec.origin is not None, "lpips is a declared dependency"
    return Path(spec.origin).parent / "weights/v0.1" / f"{net}.pth"


def _check(net: str, backbone: dict[str, Tensor], heads: Mapping[str, Tensor], path: Path) -> None:
    """UserError unless the backbone runs and each stage has as many channels as its head."""
    try:
        widths = [y.shape[1] for y in _stages(net, backbone, torch.zeros(1, 3, 64, 64))]
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{path}: not the backbone of LPIPS-{net} ({error}); use torchvision's file") from error
    wanted = [heads[f"lin{stage}.model.1.weight"].shape[1] for stage in range(len(LAYERS[net]))]
    if widths != wanted:
        raise UserError(f"{path}: not the backbone of LPIPS-{net}: {widths} channels where {wanted} are needed")
