from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.networks.npgd import Dropout
from reprior.networks.trained import built
from reprior.training.objectives.npgd import NPGD
from reprior.training.run import read_recipe

RELEASED = {"mnist": (2_169_473, 4_119_780, 1_713_281), "celeba": (12_660_355, 27_902_692, 11_038_337)}
"""Numbers of parameters of G, G_dag and D in the released code."""
SIDES = {"mnist": (3, 7, 14), "celeba": (4, 8, 16, 32)}


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _networks(name: str, **settings: Any) -> tuple[nn.Module, nn.Module]:
    generator = build_generator({"name": f"npgd-{name}", **settings})
    return generator, built("network", {"name": f"npgd-{name}-inverse", **settings})


def _objective(name: str, **recipe: Any) -> NPGD:
    return NPGD(read_recipe({"objective": "npgd", "steps": 1, **recipe}), build_generator({"name": f"npgd-{name}"}))


@pytest.mark.parametrize("name", RELEASED)
def test_networks_have_as_many_parameters_as_the_released_ones(name: str) -> None:
    counts = *map(_count, _networks(name)), _count(_objective(name).discriminator)
    assert counts == RELEASED[name]


@pytest.mark.parametrize(("channels", "expected"), [(64, (658_753, 1_044_132)), (32, (222_881, 268_164))])
def test_the_width_is_a_setting(channels: int, expected: tuple[int, int]) -> None:
    generator, inverse = _networks("mnist", channels=channels)
    assert (_count(generator), _count(inverse)) == expected


@pytest.mark.parametrize("name", SIDES)
def test_feature_maps_have_the_sides_of_their_names(name: str) -> None:
    generator, inverse = _networks(name, channels=4)
    z = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    maps = {layer: generator.eval().features(z, layer)["h"] for layer in generator.layer_names}
    assert [h.shape[-2:] for h in maps.values()] == [(side, side) for side in SIDES[name]]
    assert list(map(int, maps)) == list(SIDES[name])
    x = generator.image(z)
    assert x.shape == (2, *generator.image_shape)
    assert x.min() >= 0
    assert x.max() <= 1
    assert inverse(x).shape == z.shape


def test_the_discriminator_gives_one_number_per_image() -> None:
    objective = _objective("mnist", discriminator_channels=4)
    assert objective.discriminator(torch.zeros(3, 1, 28, 28)).shape == (3,)


def test_the_objective_refuses_images_of_another_size() -> None:
    other: Mapping[str, Any] = {"name": "began", "size": 128, "channels": 2, "latent": 3}
    with pytest.raises(UserError, match=r"objective npgd: is for images of \(1, 28, 28\) or \(3, 64, 64\)"):
        NPGD(read_recipe({"objective": "npgd", "steps": 1}), build_generator(other))


def test_the_papers_dropout_drops_nothing() -> None:
    h = torch.randn(2, 5)
    assert torch.equal(Dropout("paper").train()(h), h)


def test_the_released_dropout_drops_half_and_keeps_the_mean_even_in_evaluation() -> None:
    h = torch.full((4, 20_000), 3.0)
    out = Dropout("released").eval()(h + torch.arange(4)[:, None])
    assert out.ne(0).float().mean(1) == pytest.approx([0.5] * 4, abs=0.02)
    assert (out.mean(1) / (3 + torch.arange(4))).tolist() == pytest.approx([1.0] * 4, abs=0.04)
    masks = out.ne(0)
    assert not torch.equal(masks[0], masks[1])


def test_what_the_released_dropout_drops_of_a_row_depends_on_that_row_alone() -> None:
    rows = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    dropout = Dropout("released").eval()
    alone = torch.cat([dropout(row[None]) for row in rows])
    assert torch.equal(dropout(rows), alone)
    assert torch.equal(dropout(rows.contiguous(memory_format=torch.channels_last)), alone)


def test_gradients_pass_only_through_what_the_released_dropout_keeps() -> None:
    h = torch.randn(1, 50, generator=torch.Generator().manual_seed(2)).requires_grad_()
    out = Dropout("released").eval()(h)
    out.sum().backward()
    assert torch.equal(h.grad, out.detach().ne(0) * 2.0)
