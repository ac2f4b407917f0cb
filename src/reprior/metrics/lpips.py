"""Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Literal

import numpy as np

from reprior.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

LABEL = "LPIPS"
BETTER = "lower"
FORMAT = ".3f"
BACKBONES = {
    "alex": ("alexnet-owt-7be5be79.pth",),
    "vgg": ("vgg16-397923af.pth",),
    "squeeze": ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1_features.pth"),
}
"""Names of the files, torchvision's own first, in which a network's backbone may come."""


def lpips(
    estimate: np.ndarray,
    truth: np.ndarray,
    *,
    net: Literal["alex", "vgg", "squeeze"] = "alex",
    weights: str | None = None,
) -> np.ndarray:
    """LPIPS v0.1 of each image, [N, 3, H, W] in [0, 1] -> [N]; averaged plainly over images.

    The linear heads are those of the `lpips` package. The backbone is read from the file `weights` (torchvision's
    ImageNet weights of the network, or only their `features.*` tensors); nothing is ever downloaded.
    """
    import torch

    if weights is None:
        raise UserError(f"LPIPS-{net} needs the weights of its backbone: a file {' or '.join(BACKBONES[net])}")
    network = _network(net, weights)
    with torch.no_grad():
        distances = [network(_input(a), _input(b)).item() for a, b in zip(estimate, truth, strict=True)]
    return np.array(distances, dtype=np.float64)


def _input(image: np.ndarray) -> Tensor:
    """[3, H, W] in [0, 1] -> [1, 3, H, W] in [-1, 1], which is what LPIPS expects."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None] * 2 - 1


@lru_cache(maxsize=3)
def _network(net: str, weights: str) -> nn.Module:
    import torch
    from lpips import LPIPS

    features = _features(weights)
    # `pnet_rand` is the package's only way not to download a backbone; its random draws are replaced below.
    # torchvision warns about how the package calls it, which no user of ours can mend.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        network = LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    _load_backbone(network.net, features, f"{weights}: not the backbone of LPIPS-{net}")
    return network.eval()


def _features(weights: str) -> dict[str, Tensor]:
    """The convolutions of a torchvision state dict, without the prefix `features.`."""
    import torch

    if not Path(weights).is_file():
        raise UserError(f"{weights}: no such file; LPIPS needs the weights of its backbone there")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError) as error:
        raise UserError(f"{weights}: not a file of weights ({error}); remove it and fetch it again") from error
    return {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}


def _load_backbone(backbone: nn.Module, features: dict[str, Tensor], problem: str) -> None:
    """Fill every parameter of the package's backbone, whose keys are `slice<k>.<torchvision's key>`."""
    try:
        state = {key: features[key.partition(".")[2]] for key in backbone.state_dict()}
        backbone.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{problem} ({error}); give torchvision's file of that network") from error
