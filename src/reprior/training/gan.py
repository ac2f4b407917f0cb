"""Adversarial training of a generator, with exact resumption.

Every step draws from its own seed and its learning rates are a function of its number, so that neither the number of
steps nor an interruption changes what happens before: k steps are the first k steps of any longer run.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.machine.files import write_text
from reprior.optimise.watch import Watch
from reprior.seeds import rng_for
from reprior.training.objective import Objective, Recipe

OBJECTIVES = {"logistic": "LogisticObjective", "began": "BEGANObjective", "dcgan": "DCGANObjective"}
INTERVAL = 100
"""Steps between two lines of the log."""


def read_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe with the defaults of its objective, `logistic` where it names none."""
    name = settings.get("objective", "logistic")
    if name not in OBJECTIVES:
        raise UserError(f"training recipe: 'objective': there is no '{name}'; use one of {', '.join(OBJECTIVES)}")
    try:
        return _objective(name).recipe_type.model_validate(dict(settings), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"training recipe: '{'.'.join(map(str, first['loc']))}': {first['msg']}") from error


def _objective(name: str) -> type[Objective]:
    """By its name, so that a training does not hang on the code of other objectives."""
    found: type[Objective] = getattr(import_module(f"reprior.training.{name}"), OBJECTIVES[name])
    return found


class Trainer:
    """A training under way: G, its moving average, the objective with D, both Adams, and what was recorded."""

    def __init__(self, generator: Generator, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self.generator, self.recipe, self.device = generator, recipe, torch.device(device)
        self.step, self.steps = 0, recipe.steps
        self._began = time.monotonic()
        with torch.random.fork_rng(devices=[]):
            self.objective = _objective(recipe.objective)(recipe, generator)
        players = {"generator": generator, "discriminator": self.objective.discriminator}
        for name, player in players.items():
            initialise(player, rng_for("training", "", str(recipe.seed), name), self.objective.draw_weight)
        for module in (generator, self.objective):
            module.to(self.device).to(memory_format=torch.channels_last)
            module.requires_grad_(True)
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.adam = _adam(generator, recipe)
        self.adam_discriminator = _adam(self.objective.discriminator, recipe)
        self.numbers = torch.full((recipe.steps, len(self.objective.NUMBERS)), torch.nan, device=self.device)
        """[steps, K]: what the objective records of each step."""

    @property
    def trace(self) -> Tensor:
        """[steps]: the generator's loss."""
        return self.numbers[:, 0]

    @property
    def seconds(self) -> float:
        """Time spent so far, that of earlier processes included."""
        return time.monotonic() - self._began

    def advance(self, images: np.ndarray) -> None:
        """One step of D and one of G on a batch of `images` (uint8 [M, C, H, W]); who calls counts the steps."""
        real, latents = self._draw(images)
        self._set_rates()
        with self._autocast():
            fake = self.generator(latents)
        numbers = self._step_discriminator(real, fake.detach())
        numbers["loss"] = self._step_generator(fake)
        self.numbers[self.step] = torch.stack([numbers[name].detach() for name in self.objective.NUMBERS])
        self._update_average()

    def _draw(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        rng = rng_for("training", "", str(recipe.seed), "step", self.step)
        rows = torch.randint(len(images), (recipe.batch,), generator=rng)
        mirrored = torch.rand(recipe.batch, generator=rng) < 0.5
        latents = torch.stack([self.generator.draw_latent(rng) for _ in range(recipe.batch)])
        low, high = self.generator.native_range
        real = self._moved(torch.from_numpy(images[rows.numpy()])).float() / 255 * (high - low) + low
        if recipe.flip:
            real = torch.where(self._moved(mirrored)[:, None, None, None], real.flip(3), real)
        return real.contiguous(memory_format=torch.channels_last), self._moved(latents)

    def _moved(self, tensor: Tensor) -> Tensor:
        # only a copy from pinned memory lets the host go on meanwhile
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _set_rates(self) -> None:
        for adam, rate in zip(self._adams().values(), self.recipe.rates(self.step), strict=True):
            adam.param_groups[0]["lr"] = rate

    def _step_discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        with self._autocast():
            loss, numbers = self.objective.loss_discriminator(real, fake, self.step)
        self.adam_discriminator.zero_grad()
        loss.backward()
        self.adam_discriminator.step()
        return numbers

    def _step_generator(self, fake: Tensor) -> Tensor:
        self.objective.discriminator.requires_grad_(False)
        with self._autocast():
            loss = self.objective.loss_generator(fake)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.objective.discriminator.requires_grad_(True)
        return loss

    @torch.no_grad()
    def _update_average(self) -> None:
        half_life = self.recipe.average_images
        kept = 0.5 ** (self.recipe.batch / half_life) if half_life else 0.0
        kept = min(kept, (1 + self.step) / (10 + self.step))
        for average, parameter in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(parameter, 1 - kept)
        for kept_buffer, buffer in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept_buffer.copy_(buffer)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name, and what was recorded so far."""
        state = {"numbers": self.numbers[: self.step], "seconds": torch.tensor(self.seconds, dtype=torch.float64)}
        for part, module in self._modules().items():
            state |= {f"{part}.{key}": value for key, value in module.state_dict().items()}
        for part, adam in self._adams().items():
            for row, moments in adam.state_dict()["state"].items():
                state |= {f"{part}.{row}.{key}": value for key, value in moments.items()}
        return state

    def load(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Go on from the state that `tensors` gave after `step` steps."""
        if step > self.steps:
            raise UserError(
                f"an interrupted training has done {step} steps, but {self.steps} are asked for: "
                "ask for at least as many, or remove its checkpoint to start anew"
            )
        for part, module in self._modules().items():
            module.load_state_dict(_under(state, part))
        for part, adam in self._adams().items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(state, part).items():
                row, name = key.split(".")
                moments.setdefault(int(row), {})[name] = _as_adam_keeps_it(value)
            adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
        self.numbers[:step] = state["numbers"].to(self.device)
        self.step, self._began = step, time.monotonic() - state["seconds"].item()

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "average": self.average, "objective": self.objective}

    def _adams(self) -> dict[str, torch.optim.Adam]:
        return {"adam": self.adam, "adam_discriminator": self.adam_discriminator}


def train(
    trainer: Trainer, images: np.ndarray, *, log: Path, watch: Watch, keep: Callable[[int, Generator], object]
) -> None:
    """Do the steps that are left, on uint8 images [M, C, H, W]; `watch` says where to go on from.

    `log` gets one line of JSON each 100 steps: means since the last one. `keep(step, generator)` is given the
    candidates: the moving average every `candidate_every` steps and at the end.
    """
    for step in watch.steps("training", trainer):
        trainer.advance(images)
        done = step + 1
        last = done == trainer.steps
        if last or done % INTERVAL == 0:
            _record(log, trainer, done)
        if last or done % trainer.recipe.candidate_every == 0:
            keep(done, trainer.average)


def initialise(
    module: nn.Module,
    rng: torch.Generator,
    draw: Callable[[Tensor, torch.Generator], None] = Objective.draw_weight,
) -> None:
    """Draw the weights of a network by `draw` and set its biases to zero."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            draw(parameter, rng)


def _adam(module: nn.Module, recipe: Recipe) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), betas=(recipe.beta1, recipe.beta2), fused=True)


def _as_adam_keeps_it(value: Tensor) -> Tensor:
    # The fused Adam walks a weight and its moments in memory order, so theirs must be the same; a copy, because what a
    # file is mapped to is not aligned, and alignment may change how sums are rounded.
    return value.clone(memory_format=torch.channels_last if value.ndim == 4 else torch.contiguous_format)


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key.removeprefix(part + "."): value for key, value in tensors.items() if key.startswith(part + ".")}


def _record(log: Path, trainer: Trainer, done: int) -> None:
    """Add the means since the last line; what an interrupted run wrote past that one is dropped."""
    since = (done - 1) // INTERVAL * INTERVAL
    numbers = trainer.numbers[since:done].mean(0).tolist()
    if not np.isfinite(numbers).all():
        raise UserError(f"training diverged before step {done}: lower the learning rates, or train for fewer steps")
    lines = log.read_text().splitlines() if log.exists() else []
    while lines and json.loads(lines[-1])["step"] > since:
        lines.pop()
    means = dict(zip(trainer.objective.NUMBERS, numbers, strict=True))
    line = json.dumps({"step": done, **means, "seconds": round(trainer.seconds, 3)})
    write_text(log, "\n".join([*lines, line]) + "\n")
