"""A generator run from the features of a stage: G(z) = G2(G1(z)) for each stage."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from reprior.errors import UserError
from reprior.generators.base import Generator, build_generator
from tests.methods.conftest import TinyGenerator

SPECS: dict[str, Mapping[str, Any]] = {
    "began": {"name": "began", "size": 64, "channels": 4, "latent": 6},
    "began-tanh": {"name": "began", "size": 64, "channels": 4, "latent": 6, "output": "tanh"},
    "began-skip": {"name": "began-skip", "size": 64, "channels": 4, "latent": 6},
    "dcgan": {"name": "dcgan", "channels": 4, "latent": 6},
    "pggan": {"name": "pggan", "size": 64},  # a study may only choose larger ones, which take longer here
    "stylegan2": {"name": "stylegan2", "size": 32, "channels": 1, "widest": 8, "latent": 6, "mapping": 2},
    "began-grey": {"name": "began", "size": 64, "channels": 4, "latent": 6, "colours": 1},
    "began-skip-grey": {"name": "began-skip", "size": 64, "channels": 4, "latent": 6, "colours": 1},
    "dcgan-grey": {"name": "dcgan", "channels": 4, "latent": 6, "colours": 1},
    "pggan-grey": {"name": "pggan", "size": 64, "colours": 1},
}
NAMES = {
    **{"began": "8 16 32 64", "dcgan": "4 8 16 32", "pggan": "4 8 16 32 64"},
    "stylegan2": "styles 4 8 16 32",
}


@pytest.fixture(scope="module", params=SPECS)
def made(request: pytest.FixtureRequest) -> tuple[str, Generator]:
    generator = build_generator(SPECS[request.param])
    rng = torch.Generator().manual_seed(0)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=rng)
    return request.param, generator.eval().requires_grad_(False)


def latents(generator: Generator, count: int = 2) -> torch.Tensor:
    rngs = (torch.Generator().manual_seed(seed) for seed in range(count))
    return torch.stack([generator.draw_latent(rng) for rng in rngs])


def test_from_each_layer_the_image_is_the_whole_networks_to_the_last_bit(made: tuple[str, Generator]) -> None:
    name, generator = made
    z = latents(generator)
    whole = generator.image(z)
    assert whole.shape == (2, 1 if name.endswith("grey") else 3, *generator.image_shape[1:])
    assert " ".join(generator.layer_names) == NAMES[name.partition("-")[0]]
    for layer in generator.layer_names:
        features = generator.features(z, layer)
        assert layer == "styles" or features["h"].shape[-1] == int(layer)
        assert torch.equal(generator.image_from(features, layer), whole)


def test_from_a_layer_to_a_later_one_is_from_the_latent_to_the_later_one(made: tuple[str, Generator]) -> None:
    _, generator = made
    z, names = latents(generator), generator.layer_names
    for layer, later in [*itertools.pairwise(names), (names[0], names[-1])]:
        found = generator.features_from(generator.features(z, layer), layer, later)
        expected = generator.features(z, later)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    with pytest.raises(UserError, match=f"layer '{names[0]}' is not after '{names[1]}'"):
        generator.features_from(generator.features(z, names[1]), names[1], names[0])


def test_features_are_each_images_own_and_can_be_optimised(made: tuple[str, Generator]) -> None:
    _, generator = made
    z, layer = latents(generator), generator.layer_names[1]
    features = {key: value.requires_grad_() for key, value in generator.features(z, layer).items()}
    images = generator.image_from(features, layer)
    gradients = torch.autograd.grad(images[0].square().sum(), list(features.values()))
    assert all(gradient[0].abs().sum() > 0 and gradient[1].abs().sum() == 0 for gradient in gradients)
    alone = generator.image_from(generator.features(z[1:], layer), layer)
    torch.testing.assert_close(alone, images[1:], rtol=1e-4, atol=1e-4)


def test_an_unknown_layer_is_told_with_the_known_ones(made: tuple[str, Generator]) -> None:
    _, generator = made
    with pytest.raises(UserError, match=r"there is no layer '7'; known: .*16, 32"):
        generator.features(latents(generator), "7")
    with pytest.raises(UserError, match="there is no layer 'image'"):
        generator.image_from({}, "image")


def test_a_generator_need_not_name_layers() -> None:
    generator = TinyGenerator()
    assert generator.layer_names == ()
    with pytest.raises(UserError, match="known: none"):
        generator.features(latents(generator), "8")
