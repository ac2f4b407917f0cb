"""What a problem offers to methods."""

from __future__ import annotations

import pytest
import torch

from reprior.methods.base import Problem
from reprior.operators.identity import Identity
from reprior.optimise.step_noise import StepNoise
from reprior.seeds import seed_for

SHAPE = (3, 8, 8)
IDS = ("a", "b")


def noisy(sna: bool, clip: bool) -> Problem:
    y = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    operator = Identity(SHAPE, torch.Generator())
    return Problem(y, operator, "study", "case", IDS, noise=0.4, sna=sna, clip=clip)


@pytest.mark.parametrize("clip", [False, True])
def test_stochastic_noise_addition_measures_an_image_as_y_was(clip: bool) -> None:
    problem = noisy(True, clip)
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    step = torch.tensor(5)
    noise = StepNoise([seed_for("study", "case", image, "sna") for image in IDS], SHAPE, x.device)(step)
    measured = x + 0.4 * noise
    measured = measured.clamp(0, 1) if clip else measured
    expected = (problem.y - measured).square().flatten(1).sum(1)
    torch.testing.assert_close(problem.loss(x, step), expected)
    torch.testing.assert_close(problem[1:].loss(x[1:], step), expected[1:])
    assert not torch.isclose(problem.loss(x, step + 1), expected).any()


def test_without_it_the_loss_is_the_same_in_every_step() -> None:
    problem = noisy(False, True)
    x = torch.rand(2, *SHAPE, dtype=torch.float64)
    assert torch.equal(*(problem.loss(x, torch.tensor(step)) for step in (5, 6)))
    torch.testing.assert_close(problem.loss(x, torch.tensor(5)), problem.residual(x))
