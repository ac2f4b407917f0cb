"""What every generator must do. Its weights are drawn here; a study reads them from a file."""

from __future__ import annotations

from pathlib import Path

import torch

from reprior.generators.base import Generator, build_generator
from reprior.planning import plugin_folders

FOLDER = Path(__file__).parents[1]
SETTINGS = {"size": 8, "latent": 5, "hidden": 16}


def made() -> Generator:
    plugin_folders.use([FOLDER])
    generator = build_generator({"name": "new-generator", **SETTINGS})
    rng = torch.Generator().manual_seed(0)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=rng)
    return generator.eval().requires_grad_(False)


def latents(generator: Generator, count: int = 3) -> torch.Tensor:
    return torch.stack([generator.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(count)])


def test_images_have_the_declared_shape_and_are_in_0_to_1() -> None:
    generator = made()
    images = generator.image(latents(generator))
    assert images.shape == (3, *generator.image_shape)
    assert 0 <= images.min() < images.max() <= 1


def test_an_image_alone_is_as_in_a_batch() -> None:
    generator = made()
    z = latents(generator)
    torch.testing.assert_close(generator.image(z[1:2]), generator.image(z)[1:2])


def test_the_image_from_each_layer_is_that_of_the_whole_network() -> None:
    generator = made()
    z = latents(generator)
    for layer in generator.layer_names:
        assert torch.equal(generator.image_from(generator.features(z, layer), layer), generator.image(z))


def test_every_latent_changes_the_image() -> None:
    generator = made()
    z = latents(generator).requires_grad_()
    (gradient,) = torch.autograd.grad(generator.image(z).square().sum(), z)
    assert (gradient != 0).any(0).all()
