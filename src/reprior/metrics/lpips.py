"""Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from reprior.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    """LPIPS v0.1 of each image, [N, 3, H, W] in [0, 1] -> [N]; averaged plainly over images.

    The linear heads are those of the `lpips` package. The backbone is read from the folder of downloads `raw`
    (torchvision's ImageNet weights of the network, or only their `features.*` tensors).
    """
    import torch

    network = _network(net, raw / SOURCES["net"][net][0])
    with torch.no_grad():
        distances = [network(_input(a), _input(b)).item() for a, b in zip(estimate, truth, strict=True)]
    return np.array(distances, dtype=np.float64)


def _input(image: np.ndarray) -> Tensor:
    """[3, H, W] in [0, 1] -> [1, 3, H, W] in [-1, 1], which is what LPIPS expects."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None] * 2 - 1


@lru_cache(maxsize=3)
def _network(net: str, weights: Path) -> nn.Module:
    import torch
    from lpips import LPIPS

    features = _features(weights)
    # `pnet_rand` is the package's only way not to download a backbone; its random draws are replaced below.
    # torchvision warns about how the package calls it, which no user of ours can mend.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        network = LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    _load_backbone(network.net, features, f"{weights}: not the backbone of LPIPS-{net}")
    return network.eval()


def _features(weights: Path) -> dict[str, Tensor]:
    """The convolutions of a torchvision state dict, without the prefix `features.`."""
    from reprior.acquire.checkpoints import read_checkpoint

    if not weights.is_file():
        raise UserError(f"{weights}: no such file; LPIPS needs the weights of its backbone there (snakemake acquire)")
    state = read_checkpoint(weights)
    return {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}


def _load_backbone(backbone: nn.Module, features: dict[str, Tensor], problem: str) -> None:
    """Fill every parameter of the package's backbone, whose keys are `slice<k>.<torchvision's key>`."""
    try:
        state = {key: features[key.partition(".")[2]] for key in backbone.state_dict()}
        backbone.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{problem} ({error}); give torchvision's file of that network") from error
