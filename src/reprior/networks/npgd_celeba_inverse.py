"""The inverse network G_dag of NPGD's generator `npgd-celeba` (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from typing import Literal

from reprior.networks.npgd import CELEBA, Inverse
from reprior.types import Count


class NPGDCelebAInverse(Inverse):
    """ "Similar to D except last layer produces latent vector"; 27,902,692 parameters as released.

    The paper leaves open: the layers after D's hidden ones (ours: those that give the released number of parameters).
    """

    def __init__(
        self, *, channels: Count = 128, latent: Count = 100, dropout: Literal["paper", "released"] = "paper"
    ) -> None:
        super().__init__((3, 64, 64), CELEBA, channels, latent, dropout)
