"""The small classifiers of Wong and Kolter (2018), provably robust.

That of digits is robust in L-infinity (epsilon 0.1), that of CIFAR-10 in L2 (36/255).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from reprior.errors import UserError

Net = Literal["mnist", "cifar"]


class About(NamedTuple):
    """What a classifier takes: images [colours, side, side] in [0, 1], less `mean`, over `deviation`."""

    colours: int
    side: int
    mean: tuple[float, ...]
    deviation: float


ABOUT: Mapping[str, About] = {
    "mnist": About(1, 28, (0.0,), 1.0),
    "cifar": About(3, 32, (0.485, 0.456, 0.406), 0.225),
}


def labels(x: Tensor, path: Path) -> Tensor:
    """The digit, 0 to 9, that the classifier sees in each image: [N, 1, 28, 28] in [0, 1] -> [N].

    `path` is the file of its weights.
    """
    with torch.no_grad():
        return scores(x, "mnist", path).argmax(1)


def scores(x: Tensor, net: Net, path: Path) -> Tensor:
    """Scores of the ten classes: [N, colours, side, side] in [0, 1] -> [N, 10]."""
    return classifier(net, path).to(x.device)((x - _mean(net, x.device)) / ABOUT[net].deviation)


@cache
def _mean(net: Net, device: torch.device) -> Tensor:
    """The mean, copied to the device once and not in every step: [colours, 1, 1]."""
    return torch.tensor(ABOUT[net].mean, device=device)[:, None, None]


def layers(net: Net) -> nn.Sequential:
    """Images [N, colours, side, side] -> scores [N, 10]; untrained."""
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
def classifier(net: Net, path: Path) -> nn.Sequential:
    """The network with the weights of a file, frozen."""
    from reprior.acquire.checkpoints import read_checkpoint

    if not path.is_file():
        raise UserError(f"{path}: no such file; the classifier of {net} needs its weights there")
    with torch.device("meta"):
        network = layers(net)
    try:
        network.load_state_dict(_first(read_checkpoint(path)), assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not the {net.upper()} classifier of convex_adversarial ({reason}); fetch it again"
        ) from error
    return network.eval().requires_grad_(False)


def _first(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict of a file. That of CIFAR-10 holds a cascade of two networks; the first is the classifier."""
    cascade = held.get("state_dict")
    return cascade[0] if isinstance(cascade, list) and cascade else held
