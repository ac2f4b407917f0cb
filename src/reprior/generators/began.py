"""The plain BEGAN decoder (Berthelot et al. 2017), in the forms of its public versions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator, Stages, State
from reprior.generators.layouts import from_layout, renamed
from reprior.networks.doubling import DoublingConv
from reprior.types import Count

COARSEST = 8
"""Side of the first scale."""
IMAGES_PER_JOB = 20

# The last two are by one publisher, who used 64 channels for 64 pixels and 128 channels for 128 pixels.
PUBLISHED = {
    "began-celeba-64": {
        "source": "began/netG_200000.pth",
        "layout": "sunshineatnoon",
        "settings": {"size": 64, "channels": 64, "output": "tanh"},
    },
    "began-celeba-64-anantzoid": {
        "source": "began/gen_97000.pth",
        "layout": "anantzoid",
        "settings": {"size": 64, "channels": 64, "output": "tanh"},
    },
    "began-celeba-128": {
        "source": "began/gen_208000.pth",
        "layout": "anantzoid",
        "settings": {"size": 128, "channels": 128, "output": "tanh"},
    },
}


class BEGAN(Generator):
    """G(z): a linear layer to 8x8, two 3x3 convolutions with ELU per scale, nearest doubling between scales.

    The latent prior is uniform, z ~ U[-1, 1]^latent. There are no skip connections. The paper leaves open:

    - `channels`, the width: 128 in the public TensorFlow version;
    - `output`, what follows the last convolution: nothing in that version, tanh in the public PyTorch weights.
    """

    def __init__(
        self,
        *,
        size: Literal[64, 128] = 128,
        channels: Count = 128,
        latent: Count = 64,
        output: Literal["linear", "tanh"] = "linear",
        colours: Count = 3,
    ) -> None:
        super().__init__()
        self.latent_shape = (latent,)
        self.image_shape = (colours, size, size)
        self.output = output
        self.fc = nn.Linear(latent, channels * COARSEST**2)
        self.blocks = nn.ModuleList(_block(channels, scale > 0) for scale in range((size // COARSEST).bit_length()))
        self.out = nn.Conv2d(channels, colours, 3, padding=1)

    def stages(self) -> Stages:
        """One per scale, named by its side, `8` to `size`. Then the image, unclamped if the output is linear."""
        scales = {str(COARSEST * 2**scale): partial(self._scale, scale) for scale in range(len(self.blocks))}
        return {**scales, "image": self._image}

    def _scale(self, scale: int, state: State) -> State:
        """{h} [N, channels, side / 2, side / 2] -> {h} [N, channels, side, side]"""
        h = self.fc(state["z"]).unflatten(1, (-1, COARSEST, COARSEST)) if scale == 0 else state["h"]
        for conv in self.blocks[scale].children():
            h = functional.elu(conv(h), inplace=True)
        return {"h": h}

    def _image(self, state: State) -> State:
        x = self.out(state["h"])
        return {"x": torch.tanh(x) if self.output == "tanh" else x}

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ U[-1, 1]^latent."""
        return torch.rand(self.latent_shape, generator=rng) * 2 - 1

    @staticmethod
    def converted(state: Mapping[str, Any], layout: str) -> dict[str, Tensor]:
        """A public checkpoint under our names."""
        return from_layout(state, layout, {"sunshineatnoon": _from_sunshineatnoon, "anantzoid": _from_anantzoid})


def _block(channels: int, doubling: bool) -> nn.ModuleList:
    convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
    if doubling:
        convs[0] = DoublingConv(channels, channels)
    return nn.ModuleList(convs)


def _from_sunshineatnoon(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Each block is convolution, ELU, convolution, ELU. The last block also holds the output."""
    scales = 5 if "deconv5.0.weight" in state else 4
    convs = [f"deconv{scale + 1}.{2 * layer}" for scale in range(scales) for layer in range(2)]
    return _from_layers(state, "embed1", convs, f"deconv{scales}.4")


def _from_anantzoid(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Layers are numbered. 10 and 11, which exist only for 128 pixels, come before 9, the output."""
    numbers = [*range(1, 9), *((10, 11) if "l10.weight" in state else ())]
    return _from_layers(state, "l0", [f"l{number}" for number in numbers], "l9")


def _from_layers(state: Mapping[str, Any], fc: str, convs: list[str], out: str) -> dict[str, Tensor]:
    """Takes their names of the linear layer, of the convolutions from coarse to fine, and of the output."""
    layers = {"fc": fc, **{f"blocks.{n // 2}.{n % 2}": name for n, name in enumerate(convs)}, "out": out}
    names = {f"{ours}.{part}": f"{name}.{part}" for ours, name in layers.items() for part in ("weight", "bias")}
    return renamed(state, names)
