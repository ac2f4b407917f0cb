"""Cross-entropy of a robust classifier: pulls an image towards a class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.losses.base import Loss
from reprior.networks.robust import ABOUT, scores
from reprior.types import Whole

SOURCES = {"net": {"cifar": ("classifiers/cifar_small_36px.pth",), "mnist": ("classifiers/mnist.pth",)}}
"""The weights of each classifier."""
_CLASSES = 10


class CrossEntropy(Loss):
    """-log p(label | x) per image, by a classifier of its resized picture (ILO, Fig. 5: faces that look like frogs).

    CIFAR-10's labels: 0 airplane, automobile, bird, cat, deer, 5 dog, 6 frog, horse, ship, truck. ILO's classifier is a
    robust ResNet-50 of ImageNet; this small one stands in for it. Larger images are averaged down to its side.
    """

    def __init__(self, y: Tensor, raw: Path, *, label: Whole, net: Literal["cifar", "mnist"] = "cifar") -> None:
        if label >= _CLASSES:
            raise UserError(f"loss cross-entropy: label {label}: the classifier of {net} knows 0 to {_CLASSES - 1}")
        self.net, self.path = net, raw / SOURCES["net"][net][0]
        self.label = y.new_tensor(label).long()

    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        about = ABOUT[self.net]
        if x.shape[1] != about.colours:
            raise UserError(
                f"loss cross-entropy: the classifier of {self.net} is for images of {about.colours} channels,"
                f" these have {x.shape[1]}"
            )
        small = functional.adaptive_avg_pool2d(x, about.side)
        return functional.cross_entropy(scores(small, self.net, self.path), self.label.expand(len(x)), reduction="none")
