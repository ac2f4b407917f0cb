from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from reprior.networks.initial import draw_convolutions


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 1))


def drawn(network: nn.Module) -> list[torch.Tensor]:
    draw_convolutions(network, torch.Generator().manual_seed(0))
    return [parameter.detach().cpu() for parameter in network.parameters()]


def test_weights_and_biases_are_uniform_by_fan_in_and_other_layers_stay(network: nn.Module) -> None:
    wide = nn.Sequential(nn.Conv2d(16, 500, 3), nn.BatchNorm2d(500))
    weight, bias, scale, shift = drawn(wide)
    for values in (weight, bias):
        assert 0.98 / 12 < values.abs().max() < 1 / 12
        assert abs(float(values.std()) * 12 - 3**-0.5) < 0.05
    assert bool((scale == 1).all()) and bool((shift == 0).all())


def test_the_numbers_do_not_depend_on_the_order_in_memory(network: nn.Module) -> None:
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(drawn(last), drawn(network), rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_gpu_gets_the_numbers_of_one_on_a_cpu(network: nn.Module) -> None:
    there = copy.deepcopy(network).to("cuda")
    torch.testing.assert_close(drawn(there), drawn(network), rtol=0, atol=0)
