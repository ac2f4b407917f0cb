"""Adversarial training of a generator, with exact resumption.

Objective: the non-saturating logistic loss (Goodfellow et al. 2014) with the R1 penalty (Mescheder et al. 2018) on
the discriminator, lazily applied (Karras et al. 2020), and an exponential moving average of the generator's weights.
BEGAN's own objective needs an autoencoder as discriminator, which costs more than the generator and is known to
collapse suddenly; this one is stable with a discriminator that costs a fraction of the generator.

The learning rate is constant and every step draws from its own seed, so that neither the number of steps nor an
interruption changes what happens before: k steps are the first k steps of any longer run.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.files import load_tensors, save_tensors, write_text
from reprior.generators.base import Generator
from reprior.seeds import rng_for
from reprior.training.discriminator import Discriminator
from reprior.types import Count, NonNegative, Positive, Whole


class Recipe(BaseModel):
    """How a generator is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Count
    batch: Count = 16
    lr: Positive = 1e-3
    lr_discriminator: Positive = 1e-3
    discriminator_channels: Count = 32
    r1: NonNegative = 1.0
    """Weight of the R1 penalty, r1 / 2 * |grad D|^2."""
    r1_every: Count = 16
    """Steps between penalties, each of which then counts that many times."""
    average_images: Positive = 10000.0
    """Half-life of the moving average of the weights, in images."""
    flip: bool = True
    """Mirror each image with probability one half."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; weights and losses stay float32."""
    seed: Whole = 0


@dataclass
class Trainer:
    """A training under way: G, its moving average, D, both Adams, the steps done and the seconds they took."""

    generator: Generator
    recipe: Recipe
    device: torch.device

    def __post_init__(self) -> None:
        recipe, self.step, self.seconds = self.recipe, 0, 0.0
        with torch.random.fork_rng(devices=[]):
            self.discriminator = Discriminator(self.generator.image_shape[-1], recipe.discriminator_channels)
        for name, module in (("generator", self.generator), ("discriminator", self.discriminator)):
            initialise(module, rng_for("training", "", str(recipe.seed), name))
            module.to(self.device).to(memory_format=torch.channels_last)
            module.requires_grad_(True)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.adam = _adam(self.generator, recipe.lr)
        self.adam_discriminator = _adam(self.discriminator, recipe.lr_discriminator)

    def advance(self, images: np.ndarray) -> Tensor:
        """One step of D and one of G on a batch of `images` (uint8 [M, 3, H, W]); both losses: [2]."""
        real, latents = self._draw(images)
        with self._autocast():
            fake = self.generator(latents)
        loss_d = self._step_discriminator(real, fake.detach())
        loss_g = self._step_generator(fake)
        self._update_average()
        self.step += 1
        return torch.stack([loss_g, loss_d])

    def _draw(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        rng = rng_for("training", "", str(self.recipe.seed), "step", self.step)
        rows = torch.randint(len(images), (self.recipe.batch,), generator=rng)
        mirrored = torch.rand(self.recipe.batch, generator=rng) < 0.5
        latents = torch.stack([self.generator.draw_latent(rng) for _ in range(self.recipe.batch)])
        low, high = self.generator.native_range
        real = torch.from_numpy(images[rows.numpy()]).to(self.device).float() / 255 * (high - low) + low
        if self.recipe.flip:
            real = torch.where(mirrored.to(self.device)[:, None, None, None], real.flip(3), real)
        return real.contiguous(memory_format=torch.channels_last), latents.to(self.device)

    def _step_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        with self._autocast():
            on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        loss = (functional.softplus(-on_real.float()) + functional.softplus(on_fake.float())).mean()
        total = loss
        if self.recipe.r1 and self.step % self.recipe.r1_every == 0:
            total = loss + self.recipe.r1_every * self._r1(real)
        self.adam_discriminator.zero_grad()
        total.backward()
        self.adam_discriminator.step()
        return loss.detach()

    def _r1(self, real: Tensor) -> Tensor:
        real = real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)
        return self.recipe.r1 / 2 * gradient.square().flatten(1).sum(1).mean()

    def _step_generator(self, fake: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        with self._autocast():
            on_fake = self.discriminator(fake)
        loss = functional.softplus(-on_fake.float()).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.discriminator.requires_grad_(True)
        return loss.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        kept = min(0.5 ** (self.recipe.batch / self.recipe.average_images), (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for average, parameter in pairs:
            average.lerp_(parameter, 1 - kept)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write all that the next step depends on; `meta` says what is trained."""
        tensors = {
            f"{part}.{key}": value
            for part, module in self._modules().items()
            for key, value in module.state_dict().items()
        }
        for part, adam in self._adams().items():
            for row, state in adam.state_dict()["state"].items():
                tensors |= {f"{part}.{row}.{key}": value for key, value in state.items()}
        save_tensors(path, tensors, {**meta, "step": self.step, "seconds": self.seconds})

    def restore(self, path: Path) -> None:
        """Continue where `save` left off."""
        tensors, meta = load_tensors(path)
        for part, module in self._modules().items():
            module.load_state_dict(_under(tensors, part))
        for part, adam in self._adams().items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(tensors, part).items():
                row, name = key.split(".")
                state.setdefault(int(row), {})[name] = _channels_last(value)
            adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        self.step, self.seconds = meta["step"], meta["seconds"]

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}

    def _adams(self) -> dict[str, torch.optim.Adam]:
        return {"adam": self.adam, "adam_discriminator": self.adam_discriminator}


def train(
    generator: Generator,
    images: np.ndarray,
    recipe: Recipe,
    *,
    checkpoint: Path,
    log: Path,
    device: torch.device | str = "cpu",
    meta: Mapping[str, Any] | None = None,
    every_seconds: float = 60.0,
    log_every: int = 100,
) -> Trainer:
    """Train `generator` (its weights are drawn anew) on uint8 images [M, 3, H, W] for `recipe.steps` steps.

    Continues from `checkpoint` if that was made with the same recipe (whatever its steps) and `meta`. `log` gets one
    line of JSON each `log_every` steps: the mean losses since the last one.
    """
    trainer = Trainer(generator, recipe, torch.device(device))
    identity = {**(meta or {}), "recipe": recipe.model_dump(exclude={"steps"})}
    _resume(trainer, checkpoint, identity)
    _trim_log(log, trainer.step)
    saved, losses, before = time.monotonic(), [], trainer.seconds - time.monotonic()
    while trainer.step < recipe.steps:
        losses.append(trainer.advance(images))
        if trainer.step % log_every and trainer.step < recipe.steps:
            continue
        trainer.seconds = before + time.monotonic()
        _record(log, trainer, torch.stack(losses).mean(0).tolist(), checkpoint)
        losses = []
        if time.monotonic() - saved > every_seconds or trainer.step == recipe.steps:
            trainer.save(checkpoint, identity)
            saved = time.monotonic()
    return trainer


def initialise(module: torch.nn.Module, rng: torch.Generator) -> None:
    """Draw weights N(0, 2 / fan-in) (He et al. 2015) and set biases to zero."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
        else:
            torch.nn.init.kaiming_normal_(parameter, generator=rng)


def _adam(module: torch.nn.Module, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)


def _channels_last(value: Tensor) -> Tensor:
    # the fused Adam walks a weight and its moments in memory order, so theirs must be the same
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key.removeprefix(part + "."): value for key, value in tensors.items() if key.startswith(part + ".")}


def _resume(trainer: Trainer, checkpoint: Path, identity: Mapping[str, Any]) -> None:
    if not checkpoint.exists():
        return
    _, found = load_tensors(checkpoint)
    if any(found.get(key) != value for key, value in identity.items()):
        print(f"{checkpoint}: made with other settings, so training starts anew")
    elif found["step"] > trainer.recipe.steps:
        print(f"{checkpoint}: is at step {found['step']}, past {trainer.recipe.steps}, so training starts anew")
    else:
        trainer.restore(checkpoint)
        print(f"{checkpoint}: continues from step {trainer.step}")


def _trim_log(log: Path, step: int) -> None:
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    write_text(log, "".join(line for line in lines if json.loads(line)["step"] <= step))


def _record(log: Path, trainer: Trainer, losses: list[float], checkpoint: Path) -> None:
    if not all(np.isfinite(losses)):
        raise UserError(
            f"training diverged before step {trainer.step} (losses {losses}): lower the learning rates; "
            f"the last good state, if any, is in {checkpoint}"
        )
    line = {"step": trainer.step, "loss": losses[0], "loss_discriminator": losses[1], "seconds": trainer.seconds}
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
