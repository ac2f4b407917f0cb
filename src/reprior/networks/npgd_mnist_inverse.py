"""The inverse network G_dag of NPGD's generator `npgd-mnist` (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from typing import Literal

from reprior.networks.npgd import MNIST, Inverse
from reprior.types import Count


class NPGDMNISTInverse(Inverse):
    """ "Similar to D except last layer produces latent vector"; 4,119,780 parameters as released.

    The paper leaves open: the layers after D's hidden ones (ours: those that give the released number of parameters).
    """

    def __init__(
        self, *, channels: Count = 128, latent: Count = 100, dropout: Literal["paper", "released"] = "paper"
    ) -> None:
        super().__init__((1, 28, 28), MNIST, channels, latent, dropout)
