from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reprior.errors import UserError
from reprior.generators.base import Generator, build_generator
from reprior.generators.began import BEGAN
from reprior.machine.files import load_tensors
from reprior.optimise.watch import Watch
from reprior.training.run import read_recipe, train
from reprior.training.task import initialise
from reprior.training.tasks.gan import GAN

BEGAN_SPEC = {"name": "began", "size": 64, "channels": 2, "latent": 3}
SKIP_SPEC = {**BEGAN_SPEC, "name": "began-skip"}
DCGAN_SPEC = {"name": "dcgan", "channels": 2, "latent": 3}
RECIPES = {
    "logistic": {"r1_every": 2, "batch": 2, "discriminator_channels": 2},
    "began": {"halve_every": 2, "lr": 1e-3, "batch": 2, "discriminator_channels": 2},
    "dcgan": {"average_images": 5, "batch": 3, "discriminator_channels": 2},
}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)


def _nothing(step: int, generator: Generator) -> None:
    pass


def _train(
    folder: Path,
    images: np.ndarray,
    steps: int,
    objective: str = "logistic",
    spec: dict = BEGAN_SPEC,
    keep: Callable[[int, Generator], object] = _nothing,
    **more: object,
) -> GAN:
    """Train as a job does, with a checkpoint after every step. Continue from a checkpoint if there is one."""
    recipe = read_recipe({"objective": objective, "steps": steps, **RECIPES[objective], **more})
    trainer = GAN(build_generator(spec), recipe)
    watch = Watch(checkpoint=folder / "checkpoint.safetensors", every_seconds=0, fingerprint=str(more))
    with watch.catching_signals():
        train(trainer, images, log=folder / "log.jsonl", watch=watch, keep=keep)
    return trainer


def _state(trainer: GAN) -> dict[str, torch.Tensor]:
    return {key: value for key, value in trainer.tensors().items() if key != "seconds"}


def _equal(one: GAN, other: GAN) -> bool:
    states = _state(one), _state(other)
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][k]) for k, value in states[0].items()
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("objective", "spec"),
    [("logistic", BEGAN_SPEC), ("began", BEGAN_SPEC), ("began", SKIP_SPEC), ("dcgan", DCGAN_SPEC)],
)
def test_resuming_ends_with_the_same_bits_as_an_undisturbed_run(
    tmp_path: Path, images: np.ndarray, objective: str, spec: dict, precision: str
) -> None:
    whole = _train(tmp_path / "whole", images, 5, objective, spec, precision=precision)
    for steps in (2, 5):
        resumed = _train(tmp_path / "parts", images, steps, objective, spec, precision=precision)
    assert resumed.step == 5
    assert whole.numbers.isfinite().all()
    assert _equal(whole, resumed)


def test_a_signal_ends_the_training_after_its_step_with_a_checkpoint(tmp_path: Path, images: np.ndarray) -> None:
    def interrupt(step: int, generator: Generator) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as left:
        _train(tmp_path / "parts", images, 5, keep=interrupt, candidate_every=1)
    assert left.value.code == 128 + signal.SIGTERM
    assert load_tensors(tmp_path / "parts" / "checkpoint.safetensors")[1]["parts"]["training"][0] == 3
    resumed = _train(tmp_path / "parts", images, 5, candidate_every=1)
    assert _equal(resumed, _train(tmp_path / "whole", images, 5, candidate_every=1))


def test_the_state_holds_everything_that_a_step_changes(tmp_path: Path, images: np.ndarray) -> None:
    state = _train(tmp_path, images, 1, "began", DCGAN_SPEC).tensors()
    assert {key.split(".")[0] for key in state} == {
        "generator", "average", "objective", "adam generator", "adam discriminator", "numbers", "seconds",
    }  # fmt: skip
    assert {"objective.k", "generator.norms.0.running_var", "objective.discriminator.code.weight"} <= state.keys()


def test_training_neither_reads_nor_moves_the_global_random_state(tmp_path: Path, images: np.ndarray) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = _train(tmp_path / "1", images, 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert _equal(one, _train(tmp_path / "2", images, 2))


def test_another_seed_gives_another_generator(tmp_path: Path, images: np.ndarray) -> None:
    one, two = (_train(tmp_path / str(seed), images, 1, seed=seed) for seed in (0, 1))
    assert not torch.equal(one.average.fc.weight, two.average.fc.weight)


def test_fewer_steps_than_were_done_is_an_error_that_says_so(tmp_path: Path, images: np.ndarray) -> None:
    _train(tmp_path, images, 3)
    with pytest.raises(UserError, match="has done 3 steps, but 1 are asked for"):
        _train(tmp_path, images, 1)


def test_log_has_the_means_of_every_interval_once(
    tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprior.training.run.INTERVAL", 2)
    for steps in (3, 6):
        trainer = _train(tmp_path, images, steps)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert [line["loss"] for line in lines] == pytest.approx(trainer.numbers[:, 0].view(3, 2).mean(1).tolist())
    assert all(line["loss_discriminator"] > 0 for line in lines)
    assert lines == sorted(lines, key=lambda line: line["seconds"])


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path, images: np.ndarray) -> None:
    with pytest.raises(UserError, match="lower the learning rates"):
        _train(tmp_path, images, 5, lr=1e30)


def test_candidates_come_every_so_often_and_at_the_end(tmp_path: Path, images: np.ndarray) -> None:
    steps = []
    _train(tmp_path, images, 5, keep=lambda step, generator: steps.append(step), candidate_every=2)
    assert steps == [2, 4, 5]


def test_average_follows_the_weights_at_its_half_life() -> None:
    recipe = read_recipe({"steps": 1, "average_images": 20, "batch": 2, "discriminator_channels": 2})
    trainer = GAN(build_generator(BEGAN_SPEC), recipe)
    trainer.step = 10_000
    with torch.no_grad():
        trainer.average.fc.weight.zero_()
        trainer.generator.fc.weight.fill_(1)
    for _ in range(10):  # ten batches of two images
        trainer.update_average()
    torch.testing.assert_close(trainer.average.fc.weight, torch.full_like(trainer.average.fc.weight, 0.5))


def test_without_an_average_candidates_are_the_weights_themselves(tmp_path: Path, images: np.ndarray) -> None:
    trainer = _train(tmp_path, images, 2, "dcgan", DCGAN_SPEC, average_images=0)
    average, generator = trainer.average.state_dict(), trainer.generator.state_dict()
    assert all(torch.equal(average[key], generator[key]) for key in generator)
    assert average["norms.0.running_mean"].abs().max() > 0


def test_batches_are_native_range_and_mirrored_half_the_time(images: np.ndarray) -> None:
    trainer = GAN(build_generator(BEGAN_SPEC), read_recipe({"steps": 1, "batch": 200, "discriminator_channels": 2}))
    real, z = trainer._draw(images)
    known = torch.from_numpy(images).float() / 127.5 - 1
    plain = torch.stack([(real - image).abs().amax((1, 2, 3)) < 1e-5 for image in known]).any(0)
    mirrored = torch.stack([(real - image.flip(2)).abs().amax((1, 2, 3)) < 1e-5 for image in known]).any(0)
    assert (plain ^ mirrored).all()
    assert 60 < mirrored.sum() < 140
    assert z.shape == (200, 3)


def test_learning_rates_are_halved_down_to_their_floor(tmp_path: Path, images: np.ndarray) -> None:
    recipe = read_recipe({"objective": "began", "steps": 1})
    assert [recipe.rate(8e-5, step) for step in (0, 99_999, 100_000, 200_000, 900_000)] == [
        8e-5,
        8e-5,
        4e-5,
        2e-5,
        2e-5,
    ]
    trainer = _train(tmp_path, images, 5, "began", lr_discriminator=2e-3)
    assert [adam.param_groups[0]["lr"] for adam in trainer.adams.values()] == [2.5e-4, 5e-4]


def test_initial_weights_have_he_variance_and_no_bias() -> None:
    generator = BEGAN(size=64, channels=32)
    initialise(generator, torch.Generator().manual_seed(0))
    assert generator.fc.bias.abs().max() == 0
    assert abs(generator.fc.weight.var() * 64 / 2 - 1) < 0.05
    assert abs(generator.blocks[0][0].weight.var() * 9 * 32 / 2 - 1) < 0.1


def test_a_recipe_with_a_misspelt_key_or_objective_is_refused() -> None:
    with pytest.raises(UserError, match="'learning_rate'"):
        read_recipe({"steps": 1, "learning_rate": 1.0})
    with pytest.raises(UserError, match="no 'beagn'; use one of began, dcgan, logistic"):
        read_recipe({"objective": "beagn", "steps": 1})
    with pytest.raises(UserError, match="'gamma'"):
        read_recipe({"objective": "dcgan", "steps": 1, "gamma": 0.5})
