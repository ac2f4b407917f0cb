"""Making the weights of a generator from its architecture, a data set and a recipe."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.generators.base import Generator, build_generator
from reprior.machine.files import save_tensors, write_json
from reprior.optimise.watch import Watch
from reprior.seeds import rng_for
from reprior.training.candidates import Candidates, best
from reprior.training.curves import save_curves
from reprior.training.data import Material, read_material
from reprior.training.fit import decibels
from reprior.training.gan import Trainer, read_recipe, train
from reprior.training.objective import Recipe
from reprior.training.sheet import save_sheet

_SAMPLES = 32
_IN_A_ROW = 8


def train_generator(
    weights: Path,
    *,
    generator: Mapping[str, Any],
    dataset: Mapping[str, Any],
    recipe: Mapping[str, Any],
    checkpoint: Path,
    log: Path,
    raw: Path = Path("data/raw"),
    device: torch.device | str = "cpu",
    every_seconds: float = 60.0,
    code: str = "",
) -> None:
    """Train on images of `dataset`, then write the weights of the candidate that comes nearest to held-out images.

    Beside `weights`: `.json`, the settings, the machine and every candidate's fit; `.png`, samples; `-losses.png`,
    curves; `-progress.png`, the same latents at each candidate. An interrupted training of the same settings goes on
    from `checkpoint`, which SIGTERM and SIGINT write, too; one of other `code` is not used.
    """
    plan, network = read_recipe(recipe), build_generator(generator)
    material = read_material(dataset, plan, raw)
    _check_shapes(network, material)
    identity = {"generator": dict(generator), "dataset": dict(dataset)}
    fingerprint = _fingerprint(identity | {"code": code}, plan)
    candidates = Candidates(checkpoint.with_suffix(".candidates"), fingerprint)
    watch = Watch(weights.stem, checkpoint, every_seconds, fingerprint)
    trainer = Trainer(network, plan, device)
    with watch.catching_signals():
        train(trainer, material.training, log=log, watch=watch, keep=candidates.keep)
        seconds, count = trainer.seconds, len(candidates.steps())
        print(f"{weights.stem}: comparing {count} candidates on held-out images", file=sys.stderr, flush=True)
        errors = candidates.errors(trainer.average, _tensor(material, trainer.device))
        account = identity | _account(trainer, seconds, material, errors)
        write_results(weights, trainer, candidates, errors, account)
    watch.done()
    candidates.remove()


def write_results(
    weights: Path, trainer: Trainer, candidates: Candidates, errors: Mapping[int, float], account: Mapping[str, Any]
) -> None:
    """Write the weights of the best candidate by its `errors`, the pictures, and the account with their hash."""
    chosen, fits = best(errors), {step: decibels(error) for step, error in errors.items()}
    beside = {name: weights.with_name(f"{weights.stem}-{name}.png") for name in ("losses", "progress")}
    save_curves(beside["losses"], trainer.objective.NUMBERS, trainer.numbers, fits, chosen)
    rows = [samples(generator, _IN_A_ROW) for _, generator in candidates.each(trainer.average)]
    save_sheet(beside["progress"], torch.cat(rows), _IN_A_ROW, [str(step) for step in errors])
    generator = candidates.load(chosen, trainer.average)
    save_sheet(weights.with_suffix(".png"), samples(generator, _SAMPLES), _IN_A_ROW)
    save_tensors(weights, generator.state_dict(), {key: account[key] for key in ("generator", "dataset")})
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    write_json(weights.with_suffix(".json"), {**account, "sha256": digest})


@torch.no_grad()
def samples(generator: Generator, count: int) -> Tensor:
    """Images [count, C, H, W] on the [0, 1] scale of latents that are always the same."""
    device = next(generator.parameters()).device
    rngs = [rng_for("training", "", str(row), "sheet") for row in range(count)]
    return generator.image(torch.stack([generator.draw_latent(rng) for rng in rngs]).to(device))


def _account(trainer: Trainer, seconds: float, material: Material, errors: Mapping[int, float]) -> dict[str, Any]:
    chosen = best(errors)
    return {
        "recipe": trainer.recipe.model_dump(),
        "images": len(material.training),
        "images_seen": trainer.step * trainer.recipe.batch,
        "held_out_fit": {**material.origin, "psnr_of_mean_mse": round(decibels(errors[chosen]), 3)},
        "candidates": [{"step": step, "psnr_of_mean_mse": round(decibels(e), 3)} for step, e in errors.items()],
        "chosen": chosen,
        "seconds": round(seconds),
        "device": str(trainer.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _fingerprint(identity: Mapping[str, Any], recipe: Recipe) -> str:
    """What a checkpoint must agree with; more steps may be asked for later."""
    settings = {**identity, "recipe": recipe.model_dump(exclude={"steps"})}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _tensor(material: Material, device: torch.device) -> Tensor:
    return torch.from_numpy(material.held_out).to(device).float() / 255


def _check_shapes(generator: Generator, material: Material) -> None:
    found = material.training.shape[1:]
    if found != tuple(generator.image_shape):
        raise UserError(
            f"training: the generator makes images of {tuple(generator.image_shape)}, but those of the data set are "
            f"{found}: give both the same size"
        )
