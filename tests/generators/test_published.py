"""The publishers' networks, rewritten here: their checkpoints, once converted, make the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.acquire.checkpoints import read_checkpoint
from reprior.errors import UserError
from reprior.generators import pggan
from reprior.generators.base import Generator, load_generator
from reprior.generators.began import BEGAN
from reprior.generators.dcgan import DCGAN
from reprior.generators.pggan import PGGAN
from reprior.machine.files import save_tensors


class Sunshineatnoon(nn.Module):
    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.embed1 = nn.Linear(64, channels * 64)
        self.scales = int(math.log2(size // 4))
        for scale in range(1, self.scales + 1):
            layers: list[nn.Module] = []
            for _ in range(2):
                layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ELU()]
            last = [nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh()]
            end = last if scale == self.scales else [nn.UpsamplingNearest2d(scale_factor=2)]
            setattr(self, f"deconv{scale}", nn.Sequential(*layers, *end))

    def forward(self, z: Tensor) -> Tensor:
        h = self.embed1(z).view(len(z), -1, 8, 8)
        for scale in range(1, self.scales + 1):
            h = getattr(self, f"deconv{scale}")(h)
        return h


class Anantzoid(nn.Module):
    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.l0 = nn.Linear(64, channels * 64)
        for number in range(1, 9 if size == 64 else 12):
            setattr(self, f"l{number}", nn.Conv2d(channels, channels, 3, padding=1))
        self.l9 = nn.Conv2d(channels, 3, 3, padding=1)
        self.pairs = [(1, 2), (3, 4), (5, 6), (7, 8), (10, 11)][: 4 if size == 64 else 5]

    def forward(self, z: Tensor) -> Tensor:
        h = self.l0(z).reshape(len(z), -1, 8, 8)
        for pair in self.pairs:
            h = h if pair == (1, 2) else h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            for number in pair:
                h = functional.elu(getattr(self, f"l{number}")(h))
        return torch.tanh(self.l9(h))


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("publisher", [Sunshineatnoon, Anantzoid])
def test_began_makes_the_publishers_images(publisher: type[nn.Module], size: int) -> None:
    theirs = publisher(6, size).double()
    state = BEGAN.converted(theirs.state_dict(), publisher.__name__.lower())
    _makes_the_same(BEGAN(size=size, channels=6, output="tanh"), state, theirs)


class ConvModule(nn.Module):
    """mmagic's: it has a bias if it has no normalisation."""

    def __init__(self, before: int, after: int, *geometry: int, normalised: bool = True) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, 4, *geometry, bias=not normalised)
        if normalised:
            self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x))) if hasattr(self, "bn") else torch.tanh(self.conv(x))


class Mmagic(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.noise2feat = ConvModule(100, 8 * width)
        doublings = (ConvModule(scale * width, scale * width // 2, 2, 1) for scale in (8, 4, 2))
        self.upsampling = nn.Sequential(*doublings)
        self.output_layer = ConvModule(width, 3, 2, 1, normalised=False)

    def forward(self, z: Tensor) -> Tensor:
        bgr = self.output_layer(self.upsampling(self.noise2feat(z[:, :, None, None])))
        return torch.stack([bgr[:, 2], bgr[:, 1], bgr[:, 0]], 1)


def test_dcgan_makes_the_publishers_images() -> None:
    theirs = Mmagic(2).double()
    _used(theirs)
    whole = nn.ModuleDict({"generator": theirs, "discriminator": nn.Linear(2, 2)})
    state = DCGAN.converted({"meta": {"iter": 1}, "state_dict": whole.state_dict()}, "mmagic")
    _makes_the_same(DCGAN(channels=2, output_bias=True), state, theirs)


def test_dcgan_is_that_of_the_pytorch_examples() -> None:
    convs = [nn.ConvTranspose2d(100, 16, 4, 1, 0, bias=False)]
    convs += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False) for before, after in [(16, 8), (8, 4), (4, 2)]]
    hidden = [nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()) for conv in convs]
    theirs = nn.Sequential(
        nn.Unflatten(1, (100, 1, 1)), *hidden, nn.ConvTranspose2d(2, 3, 4, 2, 1, bias=False), nn.Tanh()
    ).double()
    _used(theirs)
    ours = {f"convs.{n}": block[0] for n, block in enumerate(hidden)}
    ours |= {f"norms.{n}": block[1] for n, block in enumerate(hidden)} | {"out": theirs[-2]}
    state = {f"{name}.{key}": value for name, module in ours.items() for key, value in module.state_dict().items()}
    _makes_the_same(DCGAN(channels=2), state, theirs)


def _used(network: nn.Module) -> None:
    """Normalisation as after a training: every weight and statistic differs from its initial value."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 2, generator=torch.Generator().manual_seed(5))
    network.eval()


class Scaled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1) + 0.5)
        self.b = nn.Parameter(torch.randn(channels))


class NormConv(nn.Module):
    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, padding={4: 3, 3: 1, 1: 0}[kernel], bias=False)
        self.wscale = Scaled(after)

    def forward(self, x: Tensor, doubled: bool) -> Tensor:
        x = _normalised(x)
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if doubled else x
        return self.conv(x) * self.wscale.scale + self.wscale.b[:, None, None]


class Ptrblck(nn.Module):
    def __init__(self, width: int, scales: int) -> None:
        super().__init__()
        kernels = [4] + [3] * (2 * scales - 1)
        self.features = nn.ModuleList(NormConv(width, width, kernel) for kernel in kernels)
        self.output = NormConv(width, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        h = z[:, :, None, None]
        for n, conv in enumerate(self.features):
            h = functional.leaky_relu(conv(h, doubled=n > 0 and n % 2 == 0), 0.2)
        return self.output(h, doubled=False)


def test_pggan_makes_the_images_of_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pggan, "WIDEST", 4)
    theirs = Ptrblck(4, 7).double()
    _makes_the_same(PGGAN(size=256), PGGAN.converted(theirs.state_dict(), "ptrblck"), theirs)


class Karras:
    """The authors' networks on arrays in TensorFlow's order; `fused`: as the released code trains them."""

    def __init__(self, width: int, size: int, fused: bool) -> None:
        rng = torch.Generator().manual_seed(3)
        self.sides = [2**n for n in range(2, size.bit_length())]
        up = "Conv0_up" if fused else "Conv0"
        layers = ["4x4/Conv", *(f"{side}x{side}/{conv}" for side in self.sides[1:] for conv in (up, "Conv1"))]
        shapes = {"4x4/Dense": (width, width * 16), **dict.fromkeys(layers, (3, 3, width, width))}
        shapes |= {f"ToRGB_lod{lod}": (1, 1, width, 3) for lod in range(len(self.sides))}
        self.state = {f"{name}/weight": torch.randn(shape, generator=rng).double() for name, shape in shapes.items()}
        channels = {name: 3 if "RGB" in name else width for name in shapes}
        self.state |= {f"{name}/bias": torch.randn(n, generator=rng).double() for name, n in channels.items()}
        self.state["lod"] = torch.tensor(0.0)
        self.fused = fused

    def __call__(self, z: Tensor) -> Tensor:
        dense = self.state["4x4/Dense/weight"] * math.sqrt(2) / 4 / math.sqrt(z.shape[1])
        h = (_normalised(z) @ dense).reshape(len(z), -1, 4, 4) + self._bias("4x4/Dense")
        h = self._layer(_activated(h), "4x4/Conv")
        for side in self.sides[1:]:
            h = self._up(h, f"{side}x{side}/Conv0_up") if self.fused else self._doubled(h, f"{side}x{side}/Conv0")
            h = self._layer(h, f"{side}x{side}/Conv1")
        return self._convolved(h, "ToRGB_lod0", gain=1)

    def _bias(self, name: str) -> Tensor:
        return self.state[f"{name}/bias"].reshape(1, -1, 1, 1)

    def _convolved(self, h: Tensor, name: str, gain: float = math.sqrt(2)) -> Tensor:
        weight = self.state[f"{name}/weight"]
        weight = weight * gain / math.sqrt(weight.shape[0] * weight.shape[1] * weight.shape[2])
        return functional.conv2d(h, torch.einsum("hwio->oihw", weight), padding="same") + self._bias(name)

    def _layer(self, h: Tensor, name: str) -> Tensor:
        return _activated(self._convolved(h, name))

    def _doubled(self, h: Tensor, name: str) -> Tensor:
        return self._layer(h.repeat_interleave(2, 2).repeat_interleave(2, 3), name)

    def _up(self, h: Tensor, name: str) -> Tensor:
        """The gradient of a convolution with stride 2. Its 4x4 kernel is the sum of the 3x3 one at four places."""
        weight = self.state[f"{name}/weight"] * math.sqrt(2) / math.sqrt(9 * h.shape[1])
        padded = functional.pad(weight, (0, 0, 0, 0, 1, 1, 1, 1))
        kernel = padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]
        kernel = torch.einsum("hwoi->iohw", kernel)
        return _activated(functional.conv_transpose2d(h, kernel, stride=2, padding=1) + self._bias(name))


def _activated(h: Tensor) -> Tensor:
    return _normalised(torch.maximum(h, 0.2 * h))


def _normalised(x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()


@pytest.mark.parametrize("fused", [False, True])
def test_pggan_makes_the_authors_images(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pggan, "WIDEST", 4)
    theirs = Karras(4, 256, fused)
    held = {f"2/{name}": value for name, value in theirs.state.items()}
    others = {f"{n}/{name}": torch.zeros_like(value) for n in (0, 1) for name, value in theirs.state.items()}
    # our factors are in single precision, like everything in the files
    _makes_the_same(PGGAN(size=256), PGGAN.converted(others | held, "karras"), theirs, within=1e-5)


def _makes_the_same(
    generator: Generator, state: Mapping[str, Tensor], theirs: Callable[[Tensor], Tensor], within: float = 1e-9
) -> None:
    generator.double().eval().load_state_dict(state)
    z = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(generator(z), theirs(z), rtol=within, atol=within)


@pytest.mark.parametrize(
    ("generator", "layout", "state", "said"),
    [
        (
            BEGAN,
            "anantzoid",
            {"embed1.weight": torch.zeros(2), "x": 1},
            "no tensor 'l0.weight', but 2 entries, the first of which is 'embed1.weight'",
        ),
        (BEGAN, "sunshineatnoon", {}, "no tensor 'embed1.weight', but nothing"),
        (BEGAN, "sunshineatnoon", {"embed1.weight": "text"}, "no tensor 'embed1.weight'"),
        (DCGAN, "mmagic", {"meta": 1}, "no tensor 'generator.noise2feat.conv.weight', but nothing"),
        (DCGAN, "mmagic", {"state_dict": 3}, "no tensor 'generator.noise2feat.conv.weight', but nothing"),
        (PGGAN, "ptrblck", {"2/lod": torch.zeros(())}, "no tensor 'output.conv.weight'"),
        (PGGAN, "karras", {"features.0.conv.weight": torch.zeros(2)}, "no tensor '2/4x4/Dense/weight'"),
        (PGGAN, "keras", {}, "layout 'keras': is not one of this generator's layouts: karras, ptrblck"),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused(
    generator: type[Generator], layout: str, state: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as error:
        generator.converted(state, layout)
    assert said in str(error.value)


def test_the_public_began_makes_faces(shared_data: Path, tmp_path: Path) -> None:
    state = read_checkpoint(shared_data / "began64_celeba/netG_200000.pth")
    theirs = Sunshineatnoon(64, 64)
    theirs.load_state_dict(state)
    assert sum(tensor.numel() for tensor in state.values()) == 563_395
    weights = tmp_path / "began-celeba-64.safetensors"
    save_tensors(weights, BEGAN.converted(state, "sunshineatnoon"))
    generator = load_generator({"name": "began", "size": 64, "channels": 64, "output": "tanh"}, weights)
    z = torch.stack([generator.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(16)])
    images = generator.image(z)
    torch.testing.assert_close(images, theirs(z) / 2 + 0.5)
    assert _alike(images.mean(0), _mean_face(shared_data)) > 0.9


def _mean_face(shared_data: Path) -> Tensor:
    """Mean of the CelebA test images that CSGM published, cropped nearly as this BEGAN's training images."""
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(shared_data / "celeba/csgm_celebAtest.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        photographs = [Image.open(io.BytesIO(archive.read(name))) for name in names]
    faces = [np.asarray(photograph.crop((32, 68, 148, 184)).resize((64, 64))) for photograph in photographs]
    return torch.from_numpy(np.mean(faces, 0, dtype=np.float32)).permute(2, 0, 1)


def _alike(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])
