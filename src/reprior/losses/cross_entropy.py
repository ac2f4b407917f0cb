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

SOURCES = {
    "net": {
        "cifar": ("classifiers/cifar_small_36px.pth",),
        "mnist": ("classifiers/mnist.pth",),
        "imagenet": ("classifiers/resnet50_l2_eps3.ckpt",),
    }
}
"""The weights of each classifier."""


class CrossEntropy(Loss):
    """-log p(label | x) per image, by a classifier of its resized picture (ILO, Fig. 5: faces that look like frogs).

    ILO's classifier is a robust ResNet-50 of ImageNet, `imagenet`. The small one of CIFAR-10 can replace it. Larger
    images are averaged down to its side: 256, 32 or 28. `label` is the number of a class or a word: those of CIFAR-10,
    and of ImageNet the six of the paper's figure, `frog`, `coral`, `dog`, `goldfish`, `terrier`, `apple`.

    The paper leaves open:
    - which of ImageNet's classes these are (ours: 31 tree frog, 109 brain coral, 170 Irish wolfhound, 1 goldfish, 195
      Boston terrier, 948 Granny Smith);
    - how the classifier gets an image. In the group's later code, the image is made smaller by the bicubic operator and
      not normalised. Ours is averaged and normalised, because the classifier was trained so, and clipped to [0, 1]:
      it knows no other images, and would take values outside for a class.
    """

    def __init__(
        self, y: Tensor, raw: Path, *, label: Whole | str, net: Literal["cifar", "mnist", "imagenet"] = "cifar"
    ) -> None:
        number, last = ABOUT[net].words.get(str(label), label), ABOUT[net].classes - 1
        if isinstance(number, str) or number > last:
            words = "".join(f", {word}" for word in ABOUT[net].words)
            raise UserError(f"loss cross-entropy: label {label}: the classifier of {net} knows 0 to {last}{words}")
        self.net, self.path = net, raw / SOURCES["net"][net][0]
        self.label = y.new_tensor(number).long()

    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        about = ABOUT[self.net]
        if x.shape[1] != about.colours:
            raise UserError(
                f"loss cross-entropy: the classifier of {self.net} is for images of {about.colours} channels,"
                f" these have {x.shape[1]}"
            )
        small = functional.adaptive_avg_pool2d(x.clamp(0, 1), about.side)
        return functional.cross_entropy(scores(small, self.net, self.path), self.label.expand(len(x)), reduction="none")
