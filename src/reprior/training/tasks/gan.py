"""Adversarial training of a generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from reprior.generators.base import Generator
from reprior.loading import load
from reprior.seeds import rng_for
from reprior.training.fit import fit_latents
from reprior.training.objective import AdversarialRecipe, Objective
from reprior.training.recipe import Recipe
from reprior.training.task import Task

TRAINS = "generator"


class GAN(Task):
    """Trains G against the D of the `objective`: one step of D and one of G per batch.

    A candidate's held-out error is what remains after fitting only its latent to each image (`fit.py`).
    """

    trains = TRAINS
    recipe: AdversarialRecipe

    def __init__(self, network: Generator, recipe: AdversarialRecipe, device: torch.device | str = "cpu") -> None:
        super().__init__(network, recipe, device)
        self.generator = network
        with torch.random.fork_rng(devices=[]):
            self.objective: Objective = _objective(recipe.objective)(recipe, network)
        self.NUMBERS = self.objective.NUMBERS
        self.draw_weight = self.objective.draw_weight  # type: ignore[method-assign]  # the objective's own
        self.begin()

    @classmethod
    def read(cls, settings: Mapping[str, object]) -> Recipe:
        """The recipe with the defaults of its objective, which is `logistic` if it names none."""
        found = _objective(str(settings.get("objective", "logistic")))
        return found.recipe_type.model_validate(dict(settings), strict=True)

    @property
    def players(self) -> Mapping[str, tuple[nn.Module, float]]:
        """G and D."""
        rates = self.recipe.lr, self.recipe.lr_discriminator or self.recipe.lr
        return {"generator": (self.generator, rates[0]), "discriminator": (self.objective.discriminator, rates[1])}

    def modules(self) -> dict[str, nn.Module]:
        """G, and the objective with D and any other state that it keeps."""
        return {"generator": self.generator, "objective": self.objective}

    def advance(self, images: np.ndarray) -> None:
        """One step of D and one of G."""
        real, latents = self._draw(images)
        self.set_rates()
        rng = rng_for("training", "", str(self.recipe.seed), "objective", self.step)
        with self.autocast():
            fake = self.objective.generate(self.generator, latents, rng)
        numbers = self._step_discriminator(real, fake.detach())
        numbers["loss"] = self._step_generator(
            fake, self.objective.regulariser(self.generator, latents, self.step, rng)
        )
        self.record(numbers)
        self.update_average()

    def errors(self, network: nn.Module, images: Tensor) -> Tensor:
        """How close a generator comes to images if only its latent is fitted."""
        return fit_latents(cast(Generator, network), images)[1]

    @torch.no_grad()
    def samples(self, network: nn.Module, images: Tensor, count: int) -> Tensor:
        """Images of latents that are always the same."""
        generator = cast(Generator, network)
        rngs = [rng_for("training", "", str(row), "sheet") for row in range(count)]
        return generator.image(torch.stack([generator.draw_latent(rng) for rng in rngs]).to(self.device))

    def _draw(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Real images in the native range, and latents."""
        batch, rng = self.recipe.batch, self.rng()
        rows = torch.randint(len(images), (batch,), generator=rng)
        mirrored = torch.rand(batch, generator=rng) < 0.5
        latents = torch.stack([self.generator.draw_latent(rng) for _ in range(batch)])
        low, high = self.generator.native_range
        real = self.drawn(images, rows, mirrored) * (high - low) + low
        return real.contiguous(memory_format=torch.channels_last), self.moved(latents)

    def _step_discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        with self.autocast():
            loss, numbers = self.objective.loss_discriminator(real, fake, self.step)
        self.descend("discriminator", loss)
        return numbers

    def _step_generator(self, fake: Tensor, regulariser: Tensor | None = None) -> Tensor:
        self.objective.discriminator.requires_grad_(False)
        with self.autocast():
            loss = self.objective.loss_generator(fake)
        self.descend("generator", loss if regulariser is None else loss + regulariser)
        self.objective.discriminator.requires_grad_(True)
        return loss


def _objective(name: str) -> type[Objective]:
    found: type[Objective] = load("objective", name)
    return found
