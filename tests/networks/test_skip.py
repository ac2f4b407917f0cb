"""The network of Deep Image Prior, compared with plain PyTorch modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.networks import skip as module
from reprior.networks.bilinear import convolved, doubling, normalised
from reprior.networks.skip import Skip

DEPTH, CHANNELS, SKIP, SCALES = 5, 12, 4, 3


class Plain(nn.Module):
    """A scale with all that is in it. Parameters are registered in the order of `Skip`."""

    def __init__(self, depth: int, scales: int) -> None:
        super().__init__()
        self.skip = block(depth, SKIP, 1)
        self.down = nn.Sequential(*block(depth, CHANNELS, 3, stride=2), *block(CHANNELS, CHANNELS, 3))
        self.deeper = Plain(CHANNELS, scales - 1) if scales > 1 else nn.Identity()
        self.norm = nn.BatchNorm2d(SKIP + CHANNELS)
        self.up = nn.Sequential(*block(SKIP + CHANNELS, CHANNELS, 3), *block(CHANNELS, CHANNELS, 1))

    def forward(self, x: Tensor) -> Tensor:
        deep = functional.interpolate(self.deeper(self.down(x)), scale_factor=2, mode="bilinear")
        deep = deep[:, :, : x.shape[2], : x.shape[3]]
        made: Tensor = self.up(self.norm(torch.cat([self.skip(x), deep], 1)))
        return made


def block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode="reflect")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))


def plain() -> nn.Module:
    return nn.Sequential(Plain(DEPTH, SCALES), nn.Conv2d(CHANNELS, 3, 1), nn.Sigmoid())


@pytest.fixture
def pair() -> tuple[nn.Module, nn.Module]:
    """The network and its plain form, in float64, with the same weights. No weight or bias is as PyTorch draws it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, reference = Skip(DEPTH, CHANNELS, SKIP, SCALES).double(), plain().double()
        for parameter in ours.parameters():
            if parameter.ndim == 1:
                nn.init.normal_(parameter, mean=1)
    copied(ours, reference)
    return ours, reference


def copied(network: nn.Module, to: nn.Module) -> None:
    for parameter, other in zip(network.parameters(), to.parameters(), strict=True):
        other.data.copy_(parameter.data)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Output, and the gradients of all weights and of the input."""
    x = x.clone().requires_grad_()
    y = network(x)
    y_gradient = torch.rand(y.shape, generator=rng(1), dtype=torch.float64).to(y.dtype)
    wanted = [*network.parameters(), x]
    return y.detach(), list(torch.autograd.grad(y, wanted, y_gradient, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("shape", [(40, 36), (37, 41), (68, 9)], ids=str)
@pytest.mark.parametrize("large", [0, 10**9], ids=["without doubling", "with"])
def test_outputs_and_gradients_are_those_of_plain_modules(
    pair: tuple[nn.Module, nn.Module], shape: tuple[int, int], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGE", large)
    ours, reference = pair
    x = torch.rand(1, DEPTH, *shape, generator=rng(), dtype=torch.float64)
    (y, found), (expected, wanted) = (gradients(network, x) for network in (ours, reference))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for ours_, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-8, atol=1e-8)


def test_twenty_steps_of_adam_in_float32_stay_near(pair: tuple[nn.Module, nn.Module]) -> None:
    """Near those of the plain modules in float64."""
    x, target = torch.rand(1, DEPTH, 40, 37, generator=rng()), torch.rand(1, 3, 40, 37, generator=rng(1))

    def losses(network: nn.Module, dtype: torch.dtype) -> Tensor:
        network = copy.deepcopy(network).to(dtype)
        adam = torch.optim.Adam(network.parameters(), lr=0.001)
        found = []
        for _ in range(20):
            loss = (network(x.to(dtype)) - target.to(dtype)).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            found.append(loss.item())
        return torch.tensor(found, dtype=torch.float64)

    exact = losses(pair[1], torch.float64)
    assert exact[-1] < 0.9 * exact[0]
    torch.testing.assert_close(losses(pair[0], torch.float32), exact, rtol=1e-4, atol=0)


def test_in_bfloat16_errors_are_those_of_plain_modules(pair: tuple[nn.Module, nn.Module]) -> None:
    x = torch.rand(1, DEPTH, 64, 64, generator=rng())
    ours, reference = (network.float() for network in pair)

    def error(network: nn.Module) -> tuple[float, float]:
        exact, gradient = gradients(reference, x)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            rough, rough_gradient = gradients(network, x)
        kept = [(a, b) for a, b in zip(rough_gradient, gradient, strict=True) if b.ndim == 4]
        return distance([rough], [exact]), distance(*zip(*kept, strict=True))

    for found, expected in zip(error(ours), error(reference), strict=True):
        assert 0 < found < 1.5 * expected


def distance(found: list[Tensor] | tuple[Tensor, ...], wanted: list[Tensor] | tuple[Tensor, ...]) -> float:
    """The relative one of all values together."""
    a, b = (torch.cat([value.flatten().double() for value in values]) for values in (found, wanted))
    return ((a - b).norm() / b.norm()).item()


Shape = tuple[int, int, int, int]


@pytest.mark.parametrize("tile", [1, 3, 16])
@pytest.mark.parametrize("shape", [(7, 9, 14, 18), (7, 9, 13, 17), (2, 2, 3, 4)], ids=str)
def test_doubling_is_that_of_interpolate(shape: Shape, tile: int) -> None:
    h, w, height, width = shape
    x = torch.rand(h, w, 3, generator=rng(), dtype=torch.float64)
    weight = torch.rand(5, 3, 3, 3, generator=rng(1), dtype=torch.float64)
    scale, shift = torch.rand(2, 3, generator=rng(2), dtype=torch.float64)
    rows, columns = doubling(h, height, x.dtype, tile), doubling(w, width, x.dtype, tile)

    def doubled(image: Tensor) -> Tensor:
        return functional.interpolate(image.permute(2, 0, 1)[None], scale_factor=2, mode="bilinear")[
            :, :, :height, :width
        ]

    normal = functional.batch_norm(doubled(x), None, None, scale, shift, training=True)
    torch.testing.assert_close(doubled(normalised(x, rows, columns, scale, shift, 1e-5)), normal)
    expected = functional.conv2d(functional.pad(doubled(x), (1, 1, 1, 1), mode="reflect"), weight)
    found = convolved(x, weight, rows, columns)
    torch.testing.assert_close(found.T.view(1, 5, height, width), expected)
    checked = (x.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, weight: convolved(x, weight, rows, columns), checked, fast_mode=True)
