"""Robust classifiers: two small ones of Wong and Kolter (2018), and the ResNet-50 of Salman et al. (2020).

The small ones are provably robust: that of digits in L-infinity (epsilon 0.1), that of CIFAR-10 in L2 (36/255). The
ResNet-50 of ImageNet was trained on adversarial images (L2, epsilon 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from reprior.errors import UserError

Net = Literal["mnist", "cifar", "imagenet"]


class About(NamedTuple):
    """What a classifier takes: images [colours, side, side] in [0, 1], less `mean`, over `deviation`."""

    classes: int
    colours: int
    side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    publisher: str
    words: Mapping[str, int] = {}
    """Classes that have a name."""


_MEAN = (0.485, 0.456, 0.406)
_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR = {name: number for number, name in enumerate(_NAMES)}
_IMAGENET = {"goldfish": 1, "frog": 31, "coral": 109, "dog": 170, "terrier": 195, "apple": 948}
ABOUT: Mapping[str, About] = {
    "mnist": About(10, 1, 28, (0.0,), (1.0,), "convex_adversarial"),
    "cifar": About(10, 3, 32, _MEAN, (0.225, 0.225, 0.225), "convex_adversarial", _CIFAR),
    # Trained on 224 x 224, but it takes any side, and ILO's group gave it 256 x 256.
    "imagenet": About(1000, 3, 256, _MEAN, (0.229, 0.224, 0.225), "robust-models-transfer", _IMAGENET),
}
_ROBUSTNESS = "module.model."
"""The prefix of the classifier in a checkpoint of the library `robustness`, which also holds the attacker's copy."""


def labels(x: Tensor, path: Path) -> Tensor:
    """The digit, 0 to 9, that the classifier sees in each image: [N, 1, 28, 28] in [0, 1] -> [N].

    `path` is the file of its weights.
    """
    with torch.no_grad():
        return scores(x, "mnist", path).argmax(1)


def scores(x: Tensor, net: Net, path: Path) -> Tensor:
    """Scores of the classes: [N, colours, side, side] in [0, 1] -> [N, classes]."""
    mean, deviation = _moments(net, x.device)
    return classifier(net, path).to(x.device)((x - mean) / deviation)


@cache
def _moments(net: Net, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, copied to the device once and not in every step: [colours, 1, 1]."""
    mean, deviation = torch.tensor((ABOUT[net].mean, ABOUT[net].deviation), device=device)[:, :, None, None]
    return mean, deviation


def layers(net: Net) -> nn.Module:
    """Images [N, colours, side, side] -> scores [N, classes]; untrained."""
    if net == "imagenet":
        from torchvision.models import resnet50  # here, because importing it takes a second

        return resnet50()
    colours, side = ABOUT[net].colours, ABOUT[net].side
    return nn.Sequential(
        nn.Conv2d(colours, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 4) ** 2, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


@lru_cache(maxsize=2)
def classifier(net: Net, path: Path) -> nn.Module:
    """The network with the weights of a file, frozen."""
    from reprior.acquire.checkpoints import read_checkpoint

    if not path.is_file():
        raise UserError(f"{path}: no such file; the classifier of {net} needs its weights there")
    with torch.device("meta"):
        network = layers(net)
    try:
        network.load_state_dict(_weights(read_checkpoint(path)), assign=True)
    except RuntimeError as error:
        reason = shorten(str(error), 300)
        raise UserError(
            f"{path}: not the {net.upper()} classifier of {ABOUT[net].publisher} ({reason}); fetch it again"
        ) from error
    return network.eval().requires_grad_(False)


def _weights(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict of a file.

    That of CIFAR-10 holds a cascade of two networks; the first is the classifier. That of ImageNet holds a training.
    """
    cascade, model = held.get("state_dict"), held.get("model")
    if isinstance(model, Mapping):
        return {name.removeprefix(_ROBUSTNESS): x for name, x in model.items() if name.startswith(_ROBUSTNESS)}
    return cascade[0] if isinstance(cascade, list) and cascade else held
