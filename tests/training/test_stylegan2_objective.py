"""StyleGAN2's training: its penalty, its mixed styles and its discriminator, each written again image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.optimise.watch import Watch
from reprior.training.objectives.stylegan2 import StyleGAN2, varieties
from reprior.training.run import read_recipe, train
from reprior.training.tasks.gan import GAN

SPEC = {"name": "stylegan2", "size": 32, "channels": 1, "widest": 8, "latent": 6, "mapping": 2}
BRIEF = {"objective": "stylegan2", "steps": 6, "batch": 4, "discriminator_channels": 1, "discriminator_widest": 8}


def trainer(**changes: Any) -> GAN:
    return GAN(build_generator(SPEC), read_recipe({**BRIEF, **changes}))


def objective(made: GAN) -> StyleGAN2:
    found = made.objective
    assert isinstance(found, StyleGAN2)
    return found


def latents(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(0))


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)


def test_the_penalty_is_the_squared_distance_of_path_lengths_to_their_average() -> None:
    made = trainer(mixing=0.0, paths=3.0, paths_every=2, paths_decay=0.75)
    generator, z = made.generator, latents()
    found = objective(made).regulariser(generator, z, 0, rng())
    features = objective(made)._mixed(generator, z[:2], draws := rng())
    y = torch.randn(2, 3, 32, 32, generator=draws) / 32
    lengths = []
    for row in range(2):
        one = {name: value[row : row + 1].detach() for name, value in features.items()}
        one["w"].requires_grad_()
        (gradient,) = torch.autograd.grad((generator.from_styles(one) * y[row]).sum(), one["w"])
        lengths.append((gradient.square().sum() / generator.layers).sqrt())
    average = 0.25 * sum(lengths) / 2
    expected = 2 * 3 * sum((length - average) ** 2 for length in lengths) / 2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(objective(made).a, average, rtol=1e-4, atol=1e-6)


def test_the_penalty_comes_every_so_many_steps_and_reaches_every_layer() -> None:
    made = trainer(paths_every=3)
    assert objective(made).regulariser(made.generator, latents(), 1, rng()) is None
    penalty = objective(made).regulariser(made.generator, latents(), 3, rng())
    assert penalty is not None
    penalty.backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in made.generator.mapping.layers)
    assert objective(trainer(paths=0.0)).regulariser(made.generator, latents(), 0, rng()) is None


def test_mixed_images_have_one_style_up_to_a_layer_and_another_from_it_on() -> None:
    made = trainer(mixing=0.99)
    z = latents(32)
    w = objective(made)._mixed(made.generator, z, rng())["w"]
    alone = made.generator.features(z, "styles")["w"]
    same = (w == alone).all(2)  # [N, layers]
    assert same[:, 0].all()
    assert not (same[:, 1:] & ~same[:, :-1]).any()  # no layer returns to the first style
    others = [w[row][~same[row]].unique(dim=0) for row in range(32) if not same[row].all()]
    assert len(others) > 25 and all(len(styles) == 1 for styles in others)
    kept = objective(trainer(mixing=0.0))._mixed(made.generator, z, rng())["w"]
    assert torch.equal(kept, alone)


def test_noise_is_drawn_for_each_image_and_each_step() -> None:
    made = trainer()
    first, second = (objective(made)._mixed(made.generator, latents(), rng(seed)) for seed in (1, 2))
    assert not torch.equal(first["noise_1"][0], first["noise_1"][1])
    assert not torch.equal(first["noise_1"], second["noise_1"])


def test_variety_is_the_mean_deviation_within_groups_of_four() -> None:
    h = torch.randn(8, 3, 4, 4, generator=rng())
    found = varieties(h)
    assert found.shape == (8, 1, 4, 4)
    for group in range(2):
        members = h[group::2]
        expected = (members.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[group::2], expected.expand(4, 1, 4, 4))
    assert varieties(h[:3]).unique().numel() == 1  # three images are one group


def test_the_discriminator_is_the_papers() -> None:
    made = trainer()
    D, x = objective(made).discriminator, torch.randn(4, 3, 32, 32, generator=rng())

    def conv(h: torch.Tensor, layer: Any, halve: bool = False) -> torch.Tensor:
        k = layer.weight.shape[-1]
        weight = layer.weight / (layer.weight[0].numel()) ** 0.5
        if not halve:
            return functional.conv2d(h, weight, layer.bias, padding=k // 2)
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = (row[:, None] * row).expand(h.shape[1], 1, 4, 4)
        h = functional.conv2d(functional.pad(h, [(k + 1) // 2] * 4), kernel, groups=h.shape[1])
        return functional.conv2d(h, weight, layer.bias, stride=2)

    def active(h: torch.Tensor) -> torch.Tensor:
        return torch.where(h > 0, h, 0.2 * h) * 2**0.5

    def linear(h: torch.Tensor, layer: Any) -> torch.Tensor:
        return h @ layer.weight.T / h.shape[1] ** 0.5 + layer.bias

    h = active(conv(x, D.first))
    for block in D.blocks:
        deep = active(conv(active(conv(h, block.one)), block.two, halve=True))
        h = (deep + conv(h, block.skip, halve=True)) / 2**0.5
    assert h.shape[2:] == (4, 4)
    h = active(conv(torch.cat([h, varieties(h)], 1), D.last))
    expected = linear(active(linear(h.flatten(1), D.hidden)), D.head).squeeze(1)
    torch.testing.assert_close(D(x), expected, rtol=1e-4, atol=1e-4)


def test_initial_weights_have_the_variance_that_equalised_rates_need() -> None:
    made = trainer()
    generator = build_generator({**SPEC, "latent": 64})
    generator.draw_weights(rng())
    assert generator.mapping.layers[0].weight.std().item() == pytest.approx(100, rel=0.05)
    assert generator.convs[0].conv.weight.std().item() == pytest.approx(1, rel=0.1)
    assert generator.convs[0].bias.abs().sum() == 0 == generator.convs[0].strength
    assert generator.noise_2.std().item() == pytest.approx(1, rel=0.3)
    assert objective(made).discriminator.first.weight.std().item() == pytest.approx(1, rel=0.5)


def test_another_generator_is_refused() -> None:
    for spec in ({**SPEC, "styles": "gaussian"}, {"name": "dcgan", "channels": 2, "latent": 3}):
        with pytest.raises(UserError, match="trains a generator stylegan2 with `styles: mapped`"):
            GAN(build_generator(spec), read_recipe(BRIEF))


def test_candidates_have_the_fit_of_their_styles(tmp_path: Path, images: np.ndarray) -> None:
    kept = []
    made = trainer(steps=2)
    watch = Watch("test", tmp_path / "checkpoint", 1e9, "x")
    train(
        made, images, log=tmp_path / "log", watch=watch, keep=lambda step, network: kept.append(network.fit_std.clone())
    )
    assert len(kept) == 1
    assert not torch.equal(kept[0], torch.ones(6))


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path: Path, images: np.ndarray) -> None:
    whole = trainer()
    run(whole, images, tmp_path / "whole")
    begun = trainer(steps=3)
    run(begun, images, tmp_path / "begun")
    again = trainer()
    again.load(3, {name: value.clone() for name, value in begun.tensors().items()})
    for again.step in range(3, 6):
        again.advance(images)
    for (name, mine), theirs in zip(again.modules().items(), whole.modules().values(), strict=True):
        for key, value in mine.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key]), (name, key)


def run(made: GAN, images: np.ndarray, folder: Path) -> None:
    folder.mkdir()
    watch = Watch("test", folder / "checkpoint", 1e9, "x")
    train(made, images, log=folder / "log", watch=watch, keep=lambda step, network: None)
