"""Making the weights of a generator from its architecture, a data set and a recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from reprior import plugins
from reprior.errors import UserError
from reprior.files import save_tensors, write_json
from reprior.generators.base import Generator, build_generator
from reprior.seeds import rng_for
from reprior.training.fit import fit_latents, psnr_of_mean
from reprior.training.gan import Recipe, Trainer, train
from reprior.training.sheet import save_sheet
from reprior.types import Count

_CHUNK = 500
_HELD_OUT = 100
_SAMPLES = 32


class GeneratorRecipe(Recipe):
    """How a generator is trained, and on how much of its data set."""

    images: Count = 20_000
    """How many images, from the first of the data set."""


def train_generator(
    weights: Path,
    *,
    generator: Mapping[str, Any],
    dataset: Mapping[str, Any],
    recipe: Mapping[str, Any],
    checkpoint: Path,
    log: Path,
    device: torch.device | str = "cpu",
) -> None:
    """Train on images of `dataset`, then write what a reader of the weights needs.

    Beside `weights` (the moving average): a `.json` with the settings, the machine and how near the generator comes to
    images that it never saw, and a `.png` of samples. Continues from `checkpoint` if made with the same settings.
    """
    plan = _recipe(recipe)
    network = build_generator(generator)
    images = _pixels(dataset, plan.images)
    meta = {"generator": dict(generator), "dataset": dict(dataset)}
    trainer = train(network, images, plan, checkpoint=checkpoint, log=log, device=device, meta=meta)
    write_weights(weights, trainer, meta)
    checkpoint.unlink()


def write_weights(weights: Path, trainer: Trainer, meta: Mapping[str, Any]) -> None:
    """Write the moving average of a training, with its `.json` and `.png`."""
    average = trainer.average.eval()
    save_tensors(weights, average.state_dict(), meta)
    save_sheet(weights.with_suffix(".png"), _samples(average, trainer.device))
    write_json(
        weights.with_suffix(".json"), {**meta, **_account(weights, trainer), "held_out_fit": _held_out(average, meta)}
    )


def _account(weights: Path, trainer: Trainer) -> dict[str, Any]:
    return {
        "recipe": {**trainer.recipe.model_dump(), "steps": trainer.step},
        "images_seen": trainer.step * trainer.recipe.batch,
        "seconds": round(trainer.seconds),
        "device": str(trainer.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }


def _held_out(generator: Generator, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The fit of the latent alone to images of the test split."""
    device = next(generator.parameters()).device
    pixels = _pixels({**meta["dataset"], "split": "test"}, _HELD_OUT)
    images = torch.from_numpy(pixels).to(device).float() / 255
    _, errors = fit_latents(generator, images)
    return {"images": _HELD_OUT, "psnr_of_mean_mse": round(psnr_of_mean(errors), 3)}


@torch.no_grad()
def _samples(generator: Generator, device: torch.device) -> Tensor:
    rngs = [rng_for("training", "", str(row), "sheet") for row in range(_SAMPLES)]
    return generator.image(torch.stack([generator.draw_latent(rng) for rng in rngs]).to(device))


def _recipe(recipe: Mapping[str, Any]) -> GeneratorRecipe:
    try:
        return GeneratorRecipe.model_validate(dict(recipe), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"training recipe: '{'.'.join(map(str, first['loc']))}': {first['msg']}") from error


def _pixels(dataset: Mapping[str, Any], count: int) -> np.ndarray:
    """The first `count` images of a data set: uint8 [count, 3, H, W]."""
    settings = {key: value for key, value in dataset.items() if key != "name"}
    source = plugins.load("dataset", dataset["name"])(**settings)
    pixels = np.empty((count, *source.image_shape), np.uint8)
    for start in range(0, count, _CHUNK):
        ids = source.ids(start, min(_CHUNK, count - start))
        pixels[start : start + len(ids)] = np.rint(source.load(ids).clip(0, 1) * 255)
    return pixels
