"""NPGD's generator of faces (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from typing import Literal

from reprior.generators.npgd_mnist import NPGDGenerator
from reprior.networks.npgd import CELEBA
from reprior.types import Count

IMAGES_PER_JOB = 64


class NPGDCelebA(NPGDGenerator):
    """64 x 64 pixels: 1 -> 4 -> 8 -> 16 -> 32 -> 64; 12,660,355 parameters as released.

    `dropout: released` is that of the released code, which is never switched off. The paper leaves open: the width
    (ours: the code's, 128).
    """

    layers = CELEBA
    names = ("4", "8", "16", "32")

    def __init__(
        self, *, channels: Count = 128, latent: Count = 100, dropout: Literal["paper", "released"] = "paper"
    ) -> None:
        super().__init__((3, 64, 64), channels, latent, dropout)
