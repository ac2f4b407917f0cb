from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from reprior.generators.base import build_generator
from reprior.generators.began import BEGAN
from reprior.training.discriminator import Discriminator
from reprior.training.objective import Objective
from reprior.training.objectives.began import Autoencoder
from reprior.training.objectives.dcgan import Classifier
from reprior.training.run import read_recipe
from reprior.training.tasks.gan import GAN

SPECS = {
    "logistic": {"name": "began", "size": 64, "channels": 2, "latent": 3},
    "began": {"name": "began-skip", "size": 64, "channels": 2, "latent": 3},
    "dcgan": {"name": "dcgan", "channels": 2, "latent": 3},
}


def _trainer(objective: str, spec: dict | None = None, **more: object) -> GAN:
    recipe = read_recipe({"objective": objective, "steps": 1, "batch": 4, "discriminator_channels": 4, **more})
    return GAN(build_generator(spec or SPECS[objective]), recipe)


def _objective(objective: str, **more: object) -> Objective:
    return _trainer(objective, **more).objective


@pytest.fixture
def faces() -> torch.Tensor:
    """Four drawn faces [4, 3, 64, 64] in [-1, 1]."""
    from reprior.datasets.faces_drawn import FacesDrawn

    source = FacesDrawn()
    return torch.from_numpy(source.load(source.ids(0, 4))) * 2 - 1


@pytest.mark.parametrize("objective", SPECS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec["name"])
def test_every_objective_trains_every_generator(objective: str, spec: dict, faces: torch.Tensor) -> None:
    trainer = _trainer(objective, spec)
    before = [parameter.clone() for parameter in trainer.generator.parameters()]
    trainer.advance(((faces + 1) * 127.5).round().byte().numpy())
    assert trainer.numbers.isfinite().all()
    moved = [not torch.equal(old, new) for old, new in zip(before, trainer.generator.parameters(), strict=True)]
    assert all(moved)


@pytest.mark.parametrize("lambda_k", [0.001, 0.4])
def test_k_follows_its_closed_form_and_stays_within_0_and_1(lambda_k: float) -> None:
    objective = _objective("began", gamma=0.7, lambda_k=lambda_k)
    objective.discriminator.forward = lambda v: torch.zeros_like(v)  # L(v) is then the mean of |v|
    k, seen = 0.0, []
    for real, fake in [(0.2, 0.9), (1.0, 0.1), (0.9, 0.2), (1.0, 0.1), (1.0, 0.0), (1.0, 0.0), (0.5, 0.6), (0.1, 1.0)]:
        loss, numbers = objective.loss_discriminator(torch.full((2, 3, 8, 8), real), torch.full((2, 3, 8, 8), -fake), 0)
        assert loss.item() == pytest.approx(real - k * fake, abs=1e-6)
        k = min(max(k + lambda_k * (0.7 * real - fake), 0), 1)
        assert numbers["k"].item() == pytest.approx(k, abs=1e-6)
        assert numbers["M"].item() == pytest.approx(real + abs(0.7 * real - fake), abs=1e-6)
        assert numbers["L(x)"].item() == pytest.approx(real)
        seen.append(k)
    assert seen[0] == 0
    assert (1.0 in seen) == (lambda_k > 0.1)


def test_began_comes_to_copy_real_images(faces: torch.Tensor) -> None:
    trainer = _trainer("began", lr=5e-3)
    pixels = ((faces + 1) * 127.5).round().byte().numpy()
    trainer.numbers = torch.zeros(25, 5)
    for trainer.step in range(25):
        trainer.advance(pixels)
    loss_of_real, k = trainer.numbers[:, 2], trainer.numbers[:, 3]
    assert loss_of_real[-5:].mean() < 0.85 * loss_of_real[0]
    assert 0 <= k.min() < k.max() < 0.025


@pytest.mark.parametrize("objective", SPECS)
def test_generator_steps_lower_the_generators_loss(objective: str, faces: torch.Tensor) -> None:
    trainer = _trainer(objective, lr=2e-3)
    trainer.set_rates()
    z = torch.stack([trainer.generator.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(4)])
    trainer._step_discriminator(faces, trainer.generator(z).detach())
    losses = [trainer._step_generator(trainer.generator(z)).item() for _ in range(15)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("objective", ["logistic", "dcgan"])
def test_discriminator_steps_pull_the_logits_apart(objective: str, faces: torch.Tensor) -> None:
    trainer = _trainer(objective, lr=5e-3)
    trainer.set_rates()
    discriminator, fake = trainer.objective.discriminator, faces.flip(2)

    def margin() -> float:
        with torch.no_grad():
            return (discriminator(faces).mean() - discriminator(fake).mean()).item()

    before = margin()
    for _ in range(10):
        trainer._step_discriminator(faces, fake)
    assert margin() > before + 0.1


def test_dcgan_losses_are_binary_cross_entropies() -> None:
    objective = _objective("dcgan")
    objective.discriminator.forward = lambda v: v[:, 0, 0, 0]
    real, fake = torch.full((5, 3, 1, 1), 2.0), torch.full((5, 3, 1, 1), -1.0)
    on_real, on_fake = (1 / (1 + math.exp(-t)) for t in (2, -1))
    loss, _ = objective.loss_discriminator(real, fake, 0)
    assert loss.item() == pytest.approx(-math.log(on_real) - math.log(1 - on_fake))
    assert objective.loss_generator(fake).item() == pytest.approx(-math.log(on_fake))


def test_logistic_loss_is_the_cross_entropy_and_its_penalty_half_the_squared_gradient() -> None:
    objective = _objective("logistic", r1=3.0, r1_every=4)
    weight = torch.randn(12, generator=torch.Generator().manual_seed(0))
    objective.discriminator.forward = lambda v: v.flatten(1) @ weight
    real, fake = torch.randn(2, 5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(objective.penalty(real), 1.5 * weight.square().sum())
    entropies = [
        functional.binary_cross_entropy_with_logits(objective.discriminator(v), torch.full((5,), label))
        for v, label in ((real, 1.0), (fake, 0.0))
    ]
    with_penalty, numbers = objective.loss_discriminator(real, fake, 8)
    without, _ = objective.loss_discriminator(real, fake, 9)
    torch.testing.assert_close(without, sum(entropies))
    torch.testing.assert_close(numbers["loss_discriminator"], sum(entropies))
    torch.testing.assert_close(with_penalty - without, 4 * objective.penalty(real))


def test_logistic_discriminator_sees_that_a_batch_has_no_variety() -> None:
    discriminator = Discriminator((3, 64, 64), 2)
    with torch.no_grad():
        discriminator.head.weight.zero_()
        discriminator.head.weight[:, -16:] = 1  # the channel of the batch's spread
    varied = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    same = varied[:1].expand(8, -1, -1, -1)
    assert discriminator(same).max() < discriminator(varied).min() - 0.01


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_dcgan_discriminator_is_that_of_the_pytorch_examples() -> None:
    assert _parameters(Classifier((3, 64, 64), 64)) == 2_765_568


def test_began_discriminator_mirrors_the_generator_and_decodes_as_it() -> None:
    generator = BEGAN(size=64, channels=3, latent=5)
    autoencoder = Autoencoder(generator, 2)
    convs = [(3, 2), (2, 2), (2, 2), (2, 2), (2, 4), (4, 4), (4, 4), (4, 6), (6, 6), (6, 6), (6, 8), (8, 8)]
    encoder = sum(9 * before * after + after for before, after in convs) + (8 * 8 * 8 + 1) * 5
    assert _parameters(autoencoder) == encoder + _parameters(generator)
    assert autoencoder.decoder.fc.weight is not generator.fc.weight


@pytest.mark.parametrize("size", [64, 128])
def test_began_discriminator_follows_the_image_size(size: int) -> None:
    v = torch.zeros(2, 3, size, size)
    assert Autoencoder(BEGAN(size=size, channels=2, latent=3), 2)(v).shape == v.shape


def test_dcgan_draws_its_weights_as_the_pytorch_examples() -> None:
    trainer = _trainer("dcgan", discriminator_channels=32)
    for module in trainer.objective.discriminator.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach()
            assert abs(weight.mean()) < 0.003
            assert weight.std().item() == pytest.approx(0.02, rel=0.15)
        if isinstance(module, nn.BatchNorm2d):
            assert 0 < abs(module.weight.detach().mean() - 1) < 0.02
            assert module.bias.abs().max() == 0
