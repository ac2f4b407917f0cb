"""The inverse network G_dag of the generator `sagan`, for LSUN churches (Raj, Li, Bresler, ICCV 2019)."""

from __future__ import annotations

from torch import Tensor, nn

from reprior.networks.sagan import COARSEST, Trunk
from reprior.types import Count


class SAGANInverse(nn.Module):
    """ "Similar to D except last layer produces latent vector" (NPGD's slides).

    The paper leaves open:
    - the width and the latent's length (ours: those of the generator `sagan`);
    - the last layer (ours: a 4x4 convolution, as in D, but without spectral norm, which would bound the latent).
    """

    def __init__(self, *, channels: Count = 64, latent: Count = 128) -> None:
        super().__init__()
        self.image_shape = (3, 64, 64)
        self.latent_shape = (latent,)
        self.trunk = Trunk(self.image_shape, channels)
        self.out = nn.Conv2d(self.trunk.width, latent, COARSEST)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, 64, 64] in [0, 1] -> [N, latent]"""
        return self.out(self.trunk(2 * x - 1)).flatten(1)
