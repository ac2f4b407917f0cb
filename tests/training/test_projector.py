from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator, build_generator
from reprior.machine.files import load_tensors, read_json, save_tensors
from reprior.networks.trained import built, frozen
from reprior.seeds import rng_for
from reprior.training.run import read_recipe, train_network
from reprior.training.tasks.projector import Projector

GENERATOR = {"name": "npgd-mnist", "channels": 2, "latent": 5}
NETWORK = {"name": "npgd-mnist-inverse", "channels": 2, "latent": 5}
RECIPE = {"task": "projector", "steps": 6, "batch": 3, "candidate_every": 3, "held_out": 4, "images": 1}
NONE = np.zeros((1, 1, 28, 28), np.uint8)
"""The task draws its own images."""


def _generator(**settings: Any) -> Generator:
    generator = build_generator({**GENERATOR, **settings})
    rng = torch.Generator().manual_seed(0)
    for parameter in generator.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.5, generator=rng)
    return frozen(generator, "cpu")


def _projector(generator: Generator | None = None, network: dict[str, Any] = NETWORK, **recipe: Any) -> Projector:
    settings = read_recipe({**RECIPE, **recipe})
    return Projector(built("network", network), settings, "cpu", generator or _generator())


def test_the_loss_is_that_of_the_paper() -> None:
    task = _projector(noise=0.7, latent_weight=0.3)
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(3))
    nu = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(4))
    of_images, of_latents = task._losses(z, nu)
    x = task.G(z)  # in [-1, 1]
    found = task.network((x + 0.7 * nu + 1) / 2)
    assert of_images.item() == pytest.approx(nn.functional.mse_loss(task.G(found), x).item(), rel=1e-5)
    assert of_latents.item() == pytest.approx(nn.functional.mse_loss(found, z).item(), rel=1e-5)


def test_a_step_draws_latents_and_noise_from_its_own_seed_and_adds_the_two_losses() -> None:
    task = _projector(latent_weight=0.3)
    rng = rng_for("training", "", "0", "step", 0)
    z = torch.stack([torch.randn(5, generator=rng) for _ in range(3)])
    nu = torch.randn(3, 1, 28, 28, generator=rng)
    with torch.no_grad():
        of_images, of_latents = task._losses(z, nu)
    task.advance(NONE)
    assert task.numbers[0].tolist() == pytest.approx(
        [(of_images + 0.3 * of_latents).item(), of_images.item(), of_latents.item()], rel=1e-5
    )


def test_only_the_inverse_network_moves() -> None:
    task = _projector()
    before = {name: value.clone() for name, value in task.G.state_dict().items()}
    first = [parameter.clone() for parameter in task.network.parameters()]
    task.advance(NONE)
    assert all(torch.equal(value, before[name]) for name, value in task.G.state_dict().items())
    assert any(not torch.equal(old, new) for old, new in zip(first, task.network.parameters(), strict=True))


def test_the_released_dropout_of_a_frozen_generator_draws_anew_but_its_normalisation_stays() -> None:
    task = _projector(_generator(dropout="released"), {**NETWORK, "dropout": "released"})
    before = {name: value.clone() for name, value in task.G.state_dict().items()}
    task.advance(NONE)
    assert all(torch.equal(value, before[name]) for name, value in task.G.state_dict().items())
    z = torch.randn(2, 5)
    assert not torch.equal(task.G(z), task.G(z))
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(task.errors(task.average.eval(), images), task.errors(task.average, images))


def test_the_held_out_error_is_the_distance_to_the_projection() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 5)

    task = _projector()
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(5))
    expected = [(task.G.image(torch.zeros(1, 5))[0] - x).square().mean().item() for x in images]
    assert task.errors(Constant(), images).tolist() == pytest.approx(expected, rel=1e-5)


def test_training_brings_images_closer_to_their_projections() -> None:
    task = _projector(steps=60, batch=16, lr=3e-3, noise=0.1)
    z = torch.stack([task.G.draw_latent(rng_for("training", "", str(row), "test")) for row in range(32)])
    images = task.G.image(z)
    untrained = task.errors(task.network.eval(), images).mean()
    task.network.train()
    for step in range(60):
        task.step = step
        task.advance(NONE)
    assert task.errors(task.average.eval(), images).mean() < 0.7 * untrained


@pytest.mark.parametrize(("setting", "value"), [("latent", 4), ("name", "npgd-celeba-inverse")])
def test_a_network_of_another_shape_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match="task projector: (latent|image)_shape of the network is"):
        _projector(network={**NETWORK, setting: value})


@pytest.mark.parametrize("dropout", ["paper", "released"])
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropout: str
) -> None:
    save_tensors(tmp_path / "generator.safetensors", _generator(dropout=dropout).state_dict())
    whole = _run(tmp_path / "whole", tmp_path, dropout)
    advance = Projector.advance

    def interrupted(self: Projector, images: np.ndarray) -> None:
        advance(self, images)
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Projector, "advance", interrupted)
    with pytest.raises(SystemExit):
        _run(tmp_path / "cut", tmp_path, dropout)
    monkeypatch.setattr(Projector, "advance", advance)
    cut = _run(tmp_path / "cut", tmp_path, dropout)
    ours, theirs = (load_tensors(weights)[0] for weights in (whole, cut))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert read_json(cut.with_suffix(".json"))["candidates"] == read_json(whole.with_suffix(".json"))["candidates"]


def _run(folder: Path, root: Path, dropout: str) -> Path:
    folder.mkdir(exist_ok=True)
    weights = folder / "inverse.safetensors"
    train_network(
        weights,
        network={**NETWORK, "dropout": dropout},
        dataset={"name": "folder", "path": str(_pictures(root)), "size": 28, "channels": 1},
        recipe=RECIPE,
        against={"generator": {**GENERATOR, "dropout": dropout, "weights": str(root / "generator.safetensors")}},
        checkpoint=folder / ".inverse.checkpoint",
        log=folder / ".inverse.jsonl",
    )
    return weights


def _pictures(root: Path) -> Path:
    from PIL import Image

    folder = root / "pictures"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(folder / f"{number}.png")
    return folder
