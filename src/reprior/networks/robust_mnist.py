"""The MNIST classifier of Wong and Kolter (2018), provably robust in L-infinity (epsilon 0.1)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from reprior.errors import UserError


def labels(x: Tensor, path: Path) -> Tensor:
    """The digit, 0 to 9, that the classifier sees in each image: [N, 1, 28, 28] in [0, 1] -> [N].

    `path` is the file of its weights.
    """
    with torch.no_grad():
        return classifier(path)(x).argmax(1)


def layers() -> nn.Sequential:
    """Images [N, 1, 28, 28] -> scores [N, 10]; untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


@lru_cache(maxsize=1)
def classifier(path: Path) -> nn.Sequential:
    """The network with the weights of a file, frozen."""
    from reprior.acquire.checkpoints import read_checkpoint

    if not path.is_file():
        raise UserError(f"{path}: no such file; `label-kept` needs the weights of its classifier there")
    with torch.device("meta"):
        network = layers()
    try:
        network.load_state_dict(read_checkpoint(path), assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not the MNIST classifier of convex_adversarial ({reason}); fetch it again") from error
    return network.eval().requires_grad_(False)
