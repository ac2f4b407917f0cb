"""N networks at once, compared with each alone."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.began import BEGAN
from reprior.networks.skip import Skip
from reprior.optimise import per_image
from reprior.optimise.per_image import PerImage, _Folding


class Mixed(nn.Module):
    """The operations of the generators: linear, grouped and plain convolutions, scalars as weights, buffers, joins."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 6 * 16)
        self.plain = nn.Conv2d(6, 4, 3, padding=1)
        self.grouped = nn.Conv2d(10, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.back = nn.ConvTranspose2d(8, 3, 4, 2, 1)
        self.few = nn.Conv2d(3, 2, (3, 1), padding=(1, 0))
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("blur", torch.full((3, 1, 3, 3), 1 / 9))

    def forward(self, z: Tensor) -> Tensor:
        h = self.fc(z).unflatten(1, (6, 4, 4))
        h = functional.interpolate(torch.cat([h, functional.elu(self.plain(h))], 1), scale_factor=2)
        h = h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1e-8)
        h = functional.interpolate(
            self.back(functional.leaky_relu(self.grouped(h) * self.scale)), size=(9, 7), mode="bilinear"
        )
        return self.few(functional.conv2d(h, self.blur, groups=3))


@pytest.mark.parametrize(
    "network, shape",
    [(Mixed(), (5,)), (Skip(4, 6, 2, 2), (4, 13, 16)), (BEGAN(size=64, channels=4, latent=5), (5,))],
    ids=["generator", "skip", "began"],
)
@pytest.mark.parametrize(
    "together, large, folding",
    [(True, 0, _Folding), (True, 3000, _Folding), (True, 10**9, _Folding), (True, 0, nullcontext), (False, 0, None)],
    ids=["apart", "mixed", "folded", "vmap alone, as on a GPU", "one by one"],
)
def test_outputs_and_gradients_are_those_of_each_network_alone(
    network: nn.Module,
    shape: tuple[int, ...],
    together: bool,
    large: int,
    folding: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(per_image, "_LARGE", large)
    monkeypatch.setattr(per_image, "_Folding", folding)
    network = copy.deepcopy(network).double()
    frozen = copy.deepcopy(network).requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rng = torch.Generator().manual_seed(0)
    stacked = PerImage(frozen, together)
    own = stacked.weights()
    weights = own + 0.1 * torch.randn(3, len(own), generator=rng, dtype=torch.float64)
    inputs = torch.rand(3, *shape, generator=rng, dtype=torch.float64)
    weights.requires_grad_()
    inputs.requires_grad_()
    outputs = stacked(weights, inputs)
    gradients = torch.autograd.grad(outputs.square().sum(), [weights, inputs])
    for row in range(3):
        nn.utils.vector_to_parameters(weights[row].detach(), network.parameters())
        one = inputs[row : row + 1].detach().requires_grad_()
        output = network(one)
        torch.testing.assert_close(outputs[row], output[0])
        wanted = [*network.parameters(), one]
        each = torch.autograd.grad(output.square().sum(), wanted, allow_unused=True, materialize_grads=True)
        torch.testing.assert_close(gradients[0][row], nn.utils.parameters_to_vector(each[:-1]))
        torch.testing.assert_close(gradients[1][row], each[-1][0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("together", [True, False])
def test_a_gpu_gives_the_outputs_and_gradients_of_a_cpu(together: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    here = PerImage(Mixed().double(), together)
    there = PerImage(copy.deepcopy(here.network).to("cuda"), together)
    weights = here.weights() + 0.1 * torch.randn(20, len(here.weights()), generator=rng, dtype=torch.float64)
    inputs = torch.rand(20, 5, generator=rng, dtype=torch.float64)
    expected = [_output_and_gradient(here, weights, inputs)] * 5
    found = [_output_and_gradient(there, weights.to("cuda"), inputs.to("cuda")) for _ in expected]
    torch.testing.assert_close([tuple(value.cpu() for value in each) for each in found], expected)


def _output_and_gradient(network: PerImage, weights: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    weights = weights.clone().requires_grad_()
    output = network(weights, inputs)
    return output.detach(), torch.autograd.grad(output.square().sum(), weights)[0]


def test_the_network_itself_is_untouched() -> None:
    network = Mixed()
    stacked = PerImage(network)
    before = stacked.weights().clone()
    stacked(torch.zeros(2, len(before)), torch.ones(2, 5))
    assert torch.equal(stacked.weights(), before)
    torch.testing.assert_close(network(torch.ones(1, 5)), stacked(before[None], torch.ones(1, 5)))


@pytest.mark.parametrize("large", [0, 10**9])
def test_in_bfloat16_outputs_and_gradients_are_near(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_image, "_LARGE", large)
    stacked = PerImage(BEGAN(size=64, channels=4, latent=5).requires_grad_(False))
    weights = stacked.weights().expand(2, -1).clone().requires_grad_()
    z = torch.rand(2, 5, generator=torch.Generator().manual_seed(0))
    exact = stacked(weights, z)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        rough = stacked(weights, z)
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.02 * exact.abs().max().item())
    found, wanted = (torch.autograd.grad(x.float().square().sum(), weights)[0] for x in (rough, exact))
    assert torch.linalg.vector_norm(found - wanted) < 0.05 * torch.linalg.vector_norm(wanted)
