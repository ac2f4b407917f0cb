"""No step of any method waits for the device: more steps do not wait more often."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.methods.csgm import csgm
from reprior.methods.deep_decoder import deep_decoder
from reprior.methods.dip import dip
from reprior.methods.hybrid import hybrid
from reprior.methods.iagan import iagan
from reprior.methods.ilo import ilo
from reprior.methods.npgd import npgd
from reprior.methods.pgd_gan import pgd_gan
from reprior.methods.plug_and_play import plug_and_play
from reprior.methods.pulse import pulse
from reprior.methods.restricted_eigenvalues import restricted_eigenvalues
from reprior.optimise.watch import Watch
from reprior.types import Precision
from tests.methods.test_ilo import made, problem_of
from tests.optimise.waits import Waits

Run = Callable[..., Reconstruction]


class Inverse(nn.Module):
    """A network from images to the latents of a generator."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.image_shape, self.latent_shape = generator.image_shape, generator.latent_shape
        self.linear = nn.Linear(math.prod(self.image_shape), math.prod(self.latent_shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)).unflatten(1, self.latent_shape)


def runs(precision: Precision) -> dict[str, Run]:
    """Each method with steps, as a function of their number."""
    generator = made("stylegan2").float()
    problem = replace(problem_of(generator), noise=0.1, sna=True, precision=precision)
    problem = replace(problem, y=problem.y.float(), operator=problem.operator.to("cpu", torch.float32))
    plain = replace(problem, sna=False)
    first = csgm(problem, generator, steps=1)
    decoder = replace(plain, watch=Watch(marks=(0,)))
    deep_decoder(decoder, steps=2, channels=4)
    state = {key.removeprefix("0."): value for key, value in decoder.watch.marked.items()}
    starts = [replace(first, state={"variables.z": first.latents}), replace(first, state=state)]
    inverse = Inverse(generator).requires_grad_(False)
    small = {"scales": 2, "channels": 8, "input_depth": 4}
    made_of: dict[str, tuple[Any, ...]] = {
        "csgm": (csgm, problem, generator),
        "dip": (partial(dip, **small), problem),
        "deep-decoder": (partial(deep_decoder, channels=4), problem),
        "hybrid": (partial(hybrid, channels=4), problem, generator, *starts),
        "ilo": (partial(ilo, layers=["8"], radii=[50.0]), problem, generator),
        "pulse": (pulse, plain, generator),
        "pgd-gan": (partial(pgd_gan, rounds=1), plain, generator),
        "npgd": (npgd, plain, generator, inverse),
        "plug-and-play": (plug_and_play, plain, nn.Conv2d(3, 3, 3, padding=1)),
        "restricted-eigenvalues": (restricted_eigenvalues, plain, generator),
    }
    found: dict[str, Run] = {name: partial(_solved, *given) for name, given in made_of.items()}
    began = made("began").float()
    other = replace(problem_of(began), precision=precision)
    other = replace(other, y=other.y.float(), operator=other.operator.to("cpu", torch.float32))
    return found | {"iagan": partial(_solved, iagan, other, began, csgm(other, began, steps=1))}


def _solved(method: Any, problem: Problem, *given: Any, steps: int = 0) -> Reconstruction:
    return solve(method, problem, *given, steps=steps)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_method_waits_in_a_step(precision: Precision) -> None:
    for name, run in runs(precision).items():
        counts = []
        for steps in (4, 9):
            with Waits() as waits:
                run(steps=steps)
            counts.append(len(waits.found))
        assert counts[1] <= counts[0], f"{name} waits in each step: {set(waits.found)}"


def test_results_are_float32_in_bfloat16_too() -> None:
    """Their files are read by numpy, which knows no bfloat16."""
    for name, run in runs("bfloat16").items():
        found = run(steps=2)
        named = {"images": found.images, "latents": found.latents, "trace": found.trace, "loss": found.loss}
        named |= {**found.parts, **found.numbers, **found.features}
        kinds = {key: tensor.dtype for key, tensor in named.items() if tensor is not None}
        assert set(kinds.values()) == {torch.float32}, f"{name}: {kinds}"
