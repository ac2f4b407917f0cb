"""Training of a denoiser, and the denoiser itself."""

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
from reprior.loading import load
from reprior.machine.files import read_json
from reprior.networks.denoiser import Denoiser
from reprior.networks.trained import built, trained
from reprior.planning.plugins import plugin
from reprior.training.candidates import Candidates
from reprior.training.run import read_recipe, train_network
from reprior.training.tasks.denoising import Denoising

SPEC = {"name": "denoiser", "channels": 4, "layers": 3, "colours": 3}
RECIPE = {"task": "denoising", "steps": 3, "images": 6, "batch": 2, "held_out": 4, "candidate_every": 1}
DATASET = {"name": "faces-drawn", "split": "train"}


def _run(folder: Path, **more: Any) -> Path:
    weights = folder / "small.safetensors"
    train_network(
        weights,
        network=SPEC,
        dataset=DATASET,
        recipe={**RECIPE, **more},
        checkpoint=folder / ".small.checkpoint",
        log=folder / ".small.jsonl",
    )
    return weights


def _task(**more: Any) -> Denoising:
    task: type[Denoising] = load("task", "denoising")
    recipe = read_recipe({**RECIPE, **more})
    return task(built("network", SPEC), recipe)  # type: ignore[arg-type]  # the task's own recipe


class Remembering(nn.Module):
    """Returns its input, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return x


@pytest.mark.parametrize("colours", [1, 3])
def test_it_subtracts_what_it_predicts_at_any_size(colours: Any) -> None:
    denoiser = Denoiser(channels=4, layers=3, colours=colours)
    x = torch.rand(2, colours, 9, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(denoiser(x), x - denoiser.noise(x))
    for parameter in denoiser.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(denoiser(x), x)


@pytest.mark.parametrize("layers", [1, 2, 7])
def test_it_has_the_layers_asked_for_and_no_normalisation(layers: int) -> None:
    modules = list(Denoiser(channels=4, layers=layers).noise)
    assert [type(module) for module in modules] == [*[nn.Conv2d, nn.ReLU] * (layers - 1), nn.Conv2d]
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    assert (convolutions[0].in_channels, convolutions[-1].out_channels) == (1, 1)


def test_an_image_is_denoised_alone_as_in_a_batch() -> None:
    denoiser = Denoiser(channels=4, colours=3).double()
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(denoiser(x[1:2]), denoiser(x)[1:2])


def test_images_with_other_colours_are_an_error() -> None:
    with pytest.raises(UserError, match="images have 3 channels; set `colours: 3`"):
        Denoiser()(torch.zeros(1, 3, 8, 8))


def test_a_plan_reads_its_settings_and_defaults() -> None:
    settings = plugin("network", "denoiser").settings.model_validate({})
    assert settings.model_dump() == {"channels": 32, "layers": 7, "colours": 1}
    assert read_recipe({"task": "denoising", "steps": 1}).lr == 1e-3


@pytest.mark.parametrize("sigma", [0, -0.1])
def test_a_denoiser_needs_noise(sigma: float) -> None:
    with pytest.raises(UserError, match="training recipe: 'sigma'"):
        read_recipe({"task": "denoising", "steps": 1, "sigma": sigma})


def test_a_step_descends_on_the_squared_error_of_images_with_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    task, seen = _task(batch=3), Remembering()
    before = {key: value.clone() for key, value in task.network.state_dict().items()}
    hook = task.network.register_forward_pre_hook(lambda _, inputs: (seen(inputs[0]),))
    flat = np.full((5, 3, 16, 16), 51, np.uint8)
    task.advance(flat)
    hook.remove()
    clean, reference = torch.full((3, 3, 16, 16), 0.2), built("network", SPEC)
    reference.load_state_dict(before)
    loss = (reference(seen.seen[0]) - clean).square().mean()
    torch.testing.assert_close(task.numbers[0, 0], loss.detach())
    loss.backward()
    for ours, theirs in zip(task.network.parameters(), reference.parameters(), strict=True):
        assert theirs.grad is not None
        moved = theirs.detach() - 1e-3 * theirs.grad / (theirs.grad.abs() + 1e-8)  # the first step of Adam
        torch.testing.assert_close(ours.detach(), moved, rtol=0, atol=1e-6)


def test_it_starts_close_to_the_identity() -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    assert 0 < (_task().network(x) - x).square().mean() < 0.02 * x.square().mean()


def test_noise_has_every_level_up_to_sigma_and_is_new_in_each_step() -> None:
    task = _task(batch=200, sigma=0.2, steps=2)
    task.network = seen = Remembering()
    task.descend = lambda *_: None  # type: ignore[method-assign]
    task.update_average = lambda: None  # type: ignore[method-assign]
    for _ in range(2):
        task.advance(np.full((5, 3, 16, 16), 51, np.uint8))
        task.step += 1
    levels = torch.stack(seen.seen).sub(0.2).flatten(2).std(2)  # [2, 200]
    assert not torch.equal(*seen.seen)
    assert levels.max() < 0.2 * 1.1
    # The mean of 400 levels of U[0, 0.2] is 0.1 +- 0.003, their standard deviation 0.0577.
    assert levels.mean().item() == pytest.approx(0.1, abs=0.012)
    assert levels.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.15)


def test_held_out_errors_are_those_of_the_same_noise_every_time() -> None:
    task, images = _task(), torch.full((4, 3, 16, 16), 0.5)
    one, two = Remembering(), Remembering()
    errors = task.errors(one, images)
    assert torch.equal(task.errors(two, images), errors)
    assert torch.equal(one.seen[0], two.seen[0])
    torch.testing.assert_close(errors, (one.seen[0] - images).square().flatten(1).mean(1))
    assert len(set(errors.tolist())) == 4
    torch.testing.assert_close(task.errors(one, images[:2]), errors[:2])


def test_samples_are_pairs_with_noise_and_denoised() -> None:
    task, images = _task(), torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    seen = Remembering()
    pairs = task.samples(lambda x: seen(x) / 2, images, 8)  # type: ignore[arg-type]
    assert pairs.shape == (8, 3, 16, 16)
    assert torch.equal(pairs[::2], seen.seen[0])
    assert torch.equal(pairs[1::2], pairs[::2] / 2)
    assert (pairs[::2] - images[[0, 1, 2, 0]]).abs().mean() < 0.1


def test_a_few_steps_remove_noise_from_held_out_images(tmp_path: Path) -> None:
    weights = _run(tmp_path, steps=40, lr=1e-2, candidate_every=20, sigma=0.3)
    account = read_json(weights.with_suffix(".json"))
    fits = [entry["psnr_of_mean_mse"] for entry in account["candidates"]]
    noisy = -10 * np.log10(0.3**2 / 3)  # E s^2 = sigma^2 / 3
    assert fits[0] < fits[-1]
    assert fits[-1] > noisy + 2
    assert account["network"] == SPEC
    denoiser = trained("network", {**SPEC, "weights": weights})
    assert denoiser(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


def test_an_interrupted_training_ends_with_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = _run(tmp_path / "whole").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Candidates, "keep", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(SystemExit):
            _run(tmp_path / "parts")
    assert (tmp_path / "parts" / ".small.checkpoint").exists()
    assert _run(tmp_path / "parts").read_bytes() == whole
