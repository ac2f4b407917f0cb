from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.networks.sagan import SelfAttention
from reprior.optimise.watch import Watch
from reprior.planning.yaml_files import load_recipes
from reprior.training.run import read_recipe, train
from reprior.training.tasks.gan import GAN

ROOT = Path(__file__).parents[2]
SPEC = {"name": "sagan", "channels": 4, "latent": 3}


def _trainer(spec: dict = SPEC, steps: int = 1, **more: object) -> GAN:
    recipe = {"objective": "sagan", "steps": steps, "batch": 2, "discriminator_channels": 4, **more}
    return GAN(build_generator(spec), read_recipe(recipe))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)


def _gammas(trainer: GAN) -> list[float]:
    players = (trainer.generator, trainer.objective.discriminator)
    return [m.gamma.item() for player in players for m in player.modules() if isinstance(m, SelfAttention)]


def test_losses_are_differences_of_means() -> None:
    objective = _trainer().objective
    objective.discriminator.forward = lambda v: v[:, 0, 0, 0]
    real, fake = torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1, 1), torch.tensor([0.5, -0.5]).view(2, 1, 1, 1)
    loss, numbers = objective.loss_discriminator(real, fake + 4, 0)
    assert loss.item() == pytest.approx(4 - 3)
    assert numbers["loss_discriminator"].item() == pytest.approx(1)
    assert objective.loss_generator(fake + 4).item() == pytest.approx(-4)


def test_defaults_are_the_slides_batch_and_the_public_versions_adam() -> None:
    recipe = read_recipe({"objective": "sagan", "steps": 1})
    assert (recipe.batch, recipe.beta1, recipe.beta2) == (64, 0.0, 0.9)
    assert (recipe.lr, recipe.lr_discriminator, recipe.discriminator_channels) == (1e-4, 4e-4, 64)


def test_discriminator_has_the_layers_of_the_slides() -> None:
    trainer = GAN(build_generator(SPEC), read_recipe({"objective": "sagan", "steps": 1}))
    convolutions = sum(16 * a * b + b for a, b in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)])
    attention = sum(2 * (c * c // 8 + c // 8) + c * c + c + 1 for c in (256, 512))
    discriminator = trainer.objective.discriminator
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == convolutions + attention
    assert discriminator(torch.zeros(2, 3, 64, 64)).shape == (2,)


def test_one_step_moves_both_players_and_stays_finite(images: np.ndarray) -> None:
    trainer = _trainer(lr=1e-3)
    assert _gammas(trainer) == [0, 0, 0, 0]
    before = copy.deepcopy(trainer.modules())
    trainer.advance(images)
    assert trainer.numbers.isfinite().all()
    assert all(gamma != 0 for gamma in _gammas(trainer))
    for name, module in trainer.modules().items():
        old = dict(before[name].named_parameters())
        moved = {key for key, value in module.named_parameters() if not torch.equal(value, old[key])}
        # While gamma is 0, the attention's convolutions have no effect, so no gradient.
        still = {key for key in old if ".attentions." in f".{key}" and not key.endswith("gamma")}
        assert moved >= {key for key in old if key.endswith("original")} - still
        assert not moved & still


def test_initial_weights_are_those_of_pytorch() -> None:
    trainer = _trainer({**SPEC, "channels": 1, "latent": 64}, discriminator_channels=8)
    for module in (*trainer.generator.modules(), *trainer.objective.discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            parts = getattr(module, "parametrizations", None)
            weight = parts.weight.original if parts is not None else module.weight
            bound = weight[0].numel() ** -0.5
            assert 0.7 * bound < weight.abs().max() <= bound or weight.numel() < 32
            assert module.bias.abs().max() == 0
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_every_convolution_of_the_discriminator_is_bounded(images: np.ndarray) -> None:
    trainer = _trainer(steps=12, lr=1e-3)
    for trainer.step in range(12):
        trainer.advance(images)
    convolutions = [m for m in trainer.objective.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 11
    for convolution in convolutions:
        weight = copy.deepcopy(convolution).eval().weight.detach()
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)


def test_discriminator_steps_pull_real_and_generated_apart(images: np.ndarray) -> None:
    trainer = _trainer(lr_discriminator=1e-3)
    trainer.set_rates()
    real = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    losses = [trainer._step_discriminator(real, -real)["loss_discriminator"].item() for _ in range(10)]
    assert losses[-1] < losses[0] - 1


def _trained(folder: Path, images: np.ndarray, steps: int, precision: str) -> GAN:
    trainer = _trainer(steps=steps, precision=precision, lr=1e-3, average_images=5)
    watch = Watch(checkpoint=folder / "checkpoint.safetensors", every_seconds=0)
    with watch.catching_signals():
        train(trainer, images, log=folder / "log.jsonl", watch=watch, keep=lambda step, network: None)
    return trainer


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resuming_ends_with_the_same_bits_whatever_the_global_random_state(
    tmp_path: Path, images: np.ndarray, precision: str
) -> None:
    torch.manual_seed(1)
    whole = _trained(tmp_path / "whole", images, 3, precision).tensors()
    torch.manual_seed(2)
    _trained(tmp_path / "parts", images, 2, precision)
    resumed = _trained(tmp_path / "parts", images, 3, precision).tensors()
    assert whole["numbers"].isfinite().all()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items() if key != "seconds")


def test_other_generators_are_trained_too(images: np.ndarray) -> None:
    trainer = _trainer({"name": "began", "size": 64, "channels": 2, "latent": 3})
    trainer.advance(images)
    assert trainer.numbers.isfinite().all()


def test_images_that_do_not_halve_to_4_are_refused() -> None:
    generator = build_generator(SPEC)
    generator.image_shape = (1, 28, 28)
    with pytest.raises(UserError, match="not 28 x 28"):
        GAN(generator, read_recipe({"objective": "sagan", "steps": 1}))


def test_recipe_of_churches_is_forty_epochs() -> None:
    training, _ = load_recipes(ROOT)["sagan-church-64"]
    recipe = read_recipe(training.recipe)
    assert recipe.steps == 40 * (126_227 // recipe.batch)
    assert (recipe.batch, recipe.lr, recipe.lr_discriminator) == (64, 1e-4, 4e-4)
    generator = build_generator(training.generator)
    assert (generator.image_shape, generator.latent_shape) == ((3, 64, 64), (128,))
