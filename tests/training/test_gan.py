from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reprior.errors import UserError
from reprior.files import load_tensors, read_json
from reprior.generators.base import load_generator
from reprior.generators.began import BEGAN
from reprior.training import gan
from reprior.training.discriminator import Discriminator
from reprior.training.fit import fit_latents, psnr_of_mean
from reprior.training.gan import Recipe, Trainer, train
from reprior.training.generator import train_generator
from reprior.training.sheet import save_sheet

SPEC = {"name": "began", "size": 64, "channels": 2, "latent": 3}
DATASET = {"name": "faces-drawn", "split": "train"}
RECIPE = {"batch": 2, "discriminator_channels": 2, "r1_every": 2}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)


def _train(folder: Path, images: np.ndarray, steps: int, **more: object) -> Trainer:
    return train(
        BEGAN(size=64, channels=2, latent=3),
        images,
        Recipe(steps=steps, **{**RECIPE, **more}),
        checkpoint=folder / "checkpoint.safetensors",
        log=folder / "log.jsonl",
        log_every=2,
    )


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "checkpoint.safetensors")[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resuming_ends_with_the_same_bits_as_an_undisturbed_run(
    tmp_path: Path, images: np.ndarray, precision: str
) -> None:
    _train(tmp_path / "whole", images, 7, precision=precision)
    for steps in (3, 7):
        resumed = _train(tmp_path / "parts", images, steps, precision=precision)
    assert resumed.step == 7
    whole, parts = _tensors(tmp_path / "whole"), _tensors(tmp_path / "parts")
    assert {key.split(".")[0] for key in whole} == {
        "generator",
        "average",
        "discriminator",
        "adam",
        "adam_discriminator",
    }
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_training_neither_reads_nor_moves_the_global_random_state(tmp_path: Path, images: np.ndarray) -> None:
    torch.manual_seed(1)
    generator = BEGAN(size=64, channels=2, latent=3)
    state = torch.get_rng_state()
    recipe = Recipe(steps=2, **RECIPE)
    train(generator, images, recipe, checkpoint=tmp_path / "checkpoint.safetensors", log=tmp_path / "log.jsonl")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    _train(tmp_path / "again", images, 2)
    once, again = _tensors(tmp_path), _tensors(tmp_path / "again")
    assert all(torch.equal(once[key], again[key]) for key in once)


def test_another_seed_gives_another_generator(tmp_path: Path, images: np.ndarray) -> None:
    one, two = (_train(tmp_path / str(seed), images, 1, seed=seed) for seed in (0, 1))
    assert not torch.equal(one.average.fc.weight, two.average.fc.weight)


def test_a_checkpoint_of_other_settings_is_not_continued(
    tmp_path: Path, images: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(tmp_path, images, 3)
    trainer = _train(tmp_path, images, 1, lr=0.01)
    assert "made with other settings" in capsys.readouterr().out
    assert trainer.step == 1
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1]


def test_a_checkpoint_past_the_steps_asked_for_is_not_used(
    tmp_path: Path, images: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(tmp_path / "long", images, 4)
    _train(tmp_path / "short", images, 2)
    _train(tmp_path / "long", images, 2)
    assert "past 2" in capsys.readouterr().out
    long, short = _tensors(tmp_path / "long"), _tensors(tmp_path / "short")
    assert all(torch.equal(long[key], short[key]) for key in short)


def test_log_has_the_mean_losses_of_every_interval_once(tmp_path: Path, images: np.ndarray) -> None:
    for steps in (3, 6):
        _train(tmp_path, images, steps)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    assert all(line["loss"] > 0 and line["loss_discriminator"] > 0 for line in lines)
    assert lines == sorted(lines, key=lambda line: line["seconds"])


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path, images: np.ndarray) -> None:
    with pytest.raises(UserError, match="lower the learning rates"):
        _train(tmp_path, images, 20, lr=1e30)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_the_two_players_pull_the_logits_apart_and_together(images: np.ndarray) -> None:
    trainer = Trainer(
        BEGAN(size=64, channels=2, latent=3),
        Recipe(steps=1, lr_discriminator=0.01, r1=0, **{**RECIPE, "batch": 4}),
        torch.device("cpu"),
    )
    real, z = trainer._draw(images)

    def margin() -> float:
        with torch.no_grad():
            fake = trainer.generator(z)
            return (trainer.discriminator(real).mean() - trainer.discriminator(fake).mean()).item()

    start = margin()
    for _ in range(5):
        trainer._step_discriminator(real, trainer.generator(z).detach())
    told_apart = margin()
    for _ in range(20):
        trainer._step_generator(trainer.generator(z))
    assert start < told_apart
    assert margin() < told_apart


def test_r1_is_half_the_squared_gradient_of_the_logit(images: np.ndarray) -> None:
    trainer = Trainer(BEGAN(size=64, channels=2, latent=3), Recipe(steps=1, r1=3.0, **RECIPE), torch.device("cpu"))
    weight = torch.randn(3 * 64 * 64, generator=torch.Generator().manual_seed(0))
    trainer.discriminator.forward = lambda x: x.flatten(1) @ weight
    real, _ = trainer._draw(images)
    torch.testing.assert_close(trainer._r1(real), 1.5 * weight.square().sum())


def test_average_follows_the_weights_at_its_half_life(images: np.ndarray) -> None:
    trainer = Trainer(
        BEGAN(size=64, channels=2, latent=3), Recipe(steps=1, average_images=20, **RECIPE), torch.device("cpu")
    )
    trainer.step = 10_000
    with torch.no_grad():
        trainer.average.fc.weight.zero_()
        trainer.generator.fc.weight.fill_(1)
    for _ in range(10):  # ten batches of two images
        trainer._update_average()
    torch.testing.assert_close(trainer.average.fc.weight, torch.full_like(trainer.average.fc.weight, 0.5))


def test_batches_are_native_range_and_mirrored_half_the_time(images: np.ndarray) -> None:
    trainer = Trainer(
        BEGAN(size=64, channels=2, latent=3), Recipe(steps=1, **{**RECIPE, "batch": 200}), torch.device("cpu")
    )
    real, z = trainer._draw(images)
    known = torch.from_numpy(images).float() / 127.5 - 1
    plain = torch.stack([(real - image).abs().amax((1, 2, 3)) < 1e-5 for image in known]).any(0)
    mirrored = torch.stack([(real - image.flip(2)).abs().amax((1, 2, 3)) < 1e-5 for image in known]).any(0)
    assert (plain ^ mirrored).all()
    assert 60 < mirrored.sum() < 140
    assert z.shape == (200, 3)


def test_discriminator_sees_that_a_batch_has_no_variety() -> None:
    discriminator = Discriminator(64, 2)
    with torch.no_grad():
        discriminator.head.weight.zero_()
        discriminator.head.weight[:, -16:] = 1  # the channel of the batch's spread
    rng = torch.Generator().manual_seed(0)
    varied = torch.rand(8, 3, 64, 64, generator=rng)
    same = varied[:1].expand(8, -1, -1, -1)
    assert discriminator(same).max() < discriminator(varied).min() - 0.01


def test_initial_weights_have_he_variance_and_no_bias() -> None:
    generator = BEGAN(size=64, channels=32)
    gan.initialise(generator, torch.Generator().manual_seed(0))
    assert generator.fc.bias.abs().max() == 0
    assert abs(generator.fc.weight.var() * 64 / 2 - 1) < 0.05
    assert abs(generator.blocks[0][0].weight.var() * 9 * 32 / 2 - 1) < 0.1


def test_latents_of_generated_images_are_found_again() -> None:
    generator = BEGAN(size=64, channels=4, latent=3)
    gan.initialise(generator, torch.Generator().manual_seed(0))
    z = torch.stack([generator.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(2)])
    images = generator.image(z).detach()
    found, errors = fit_latents(generator, images, steps=150, together=1)
    torch.testing.assert_close(found, z, rtol=0, atol=0.05)
    torch.testing.assert_close((generator.image(found) - images).square().flatten(1).mean(1), errors)
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_psnr_takes_the_mean_error_first() -> None:
    assert psnr_of_mean(torch.tensor([0.0, 0.02])) == pytest.approx(20)


def test_sheet_places_images_row_by_row(tmp_path: Path) -> None:
    from PIL import Image

    levels = torch.tensor([0.0, 0.2, 0.4, 2.0]).reshape(4, 1, 1, 1).expand(4, 3, 5, 7)
    save_sheet(tmp_path / "sheet.png", levels, columns=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (10, 14, 3)
    assert [sheet[y, x, 0] for y in (0, 9) for x in (0, 13)] == [0, 51, 102, 255]


def test_train_generator_writes_weights_that_load_and_their_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprior.training.generator._HELD_OUT", 2)
    for name in ("small", "again"):
        train_generator(
            tmp_path / f"{name}.safetensors",
            generator=SPEC,
            dataset=DATASET,
            recipe={"steps": 2, "images": 8, **RECIPE},
            checkpoint=tmp_path / "checkpoint.safetensors",
            log=tmp_path / "log.jsonl",
        )
        assert not (tmp_path / "checkpoint.safetensors").exists()
    weights = tmp_path / "small.safetensors"
    assert weights.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert load_generator(SPEC, weights).image_shape == (3, 64, 64)
    account = read_json(weights.with_suffix(".json"))
    assert account["generator"] == SPEC
    assert account["dataset"] == DATASET
    assert account["recipe"] == {**Recipe(steps=2, **RECIPE).model_dump(), "images": 8}
    assert account["images_seen"] == 4
    assert account["held_out_fit"]["images"] == 2
    assert 0 < account["held_out_fit"]["psnr_of_mean_mse"] < 40
    assert weights.with_suffix(".png").exists()


def test_a_recipe_with_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'learning_rate'"):
        train_generator(
            tmp_path / "w.safetensors",
            generator=SPEC,
            dataset=DATASET,
            recipe={"steps": 1, "learning_rate": 1.0},
            checkpoint=tmp_path / "c.safetensors",
            log=tmp_path / "l.jsonl",
        )
