"""PULSE against its released loop in plain PyTorch, and its penalty against pairs of vectors."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.methods.base import Problem, solve
from reprior.methods.pulse import pulse
from reprior.operators.gaussian import Gaussian
from reprior.optimise.geocross import geocross
from tests.methods.test_ilo import made, problem_of


def rate(step: int, steps: int) -> float:
    """0.1 -> 1 -> 0.1 -> 0.001 at 0, 45, 90 and 100 % of the steps."""
    t = step / steps
    points = [(0.0, 0.1), (0.45, 1.0), (0.9, 0.1), (1.0, 0.001)]
    for (left, low), (right, high) in zip(points, points[1:], strict=False):
        if t < right:
            return low + (high - low) * (t - left) / (right - left)
    return 0.001


def plain(generator: Generator, problem: Problem, steps: int) -> tuple[Tensor, Tensor]:
    """The last image and its mean squared error."""
    inputs = problem.draw_inputs(generator)
    free = {name: inputs[name].clone().requires_grad_() for name in ("z", *(f"noise_{k}" for k in range(5)))}
    norms = {name: v.flatten(2 if name == "z" else 1).norm(dim=-1) for name, v in free.items()}
    adam = torch.optim.Adam(free.values())
    for step in range(steps):
        x = generator.image_from({**inputs, **free}, "")
        mse = (problem.operator.A(x) - problem.y).square().flatten(1).mean(1)
        w = torch.where(free["z"] * generator.fit_std + generator.fit_mean > 0, 1.0, 0.2)
        w = w * (free["z"] * generator.fit_std + generator.fit_mean)
        if step + 1 < steps:
            adam.zero_grad()
            (100 * mse.clamp_min(2e-3) + 0.05 * pairs(w)).sum().backward()
            adam.param_groups[0]["lr"] = 0.4 * rate(step, steps)
            adam.step()
            with torch.no_grad():
                for name, norm in norms.items():
                    v = free[name]
                    here = v.flatten(2 if name == "z" else 1).norm(dim=-1)
                    v *= (norm / here).view(*norm.shape, *[1] * (v.ndim - norm.ndim))
    return x.detach(), mse.detach()


def pairs(w: Tensor) -> Tensor:
    """The penalty, pair by pair."""
    found = []
    for vectors in w:
        angles = [
            2 * torch.atan2(((a - b).square().sum() + 1e-9).sqrt(), ((a + b).square().sum() + 1e-9).sqrt())
            for a in vectors
            for b in vectors
        ]
        found.append(w.shape[-1] * torch.stack(angles).square().mean() / 8)
    return torch.stack(found)


def test_it_is_the_released_loop() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    found = pulse(problem, generator, steps=20, keep="last")
    images, _ = plain(generator, problem, 20)
    torch.testing.assert_close(found.images, images, rtol=1e-6, atol=1e-7)


def test_the_penalty_is_that_of_pairs_and_of_angles() -> None:
    v = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(geocross(v), pairs(v))
    square = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # two pairs of four at an angle of pi / 2
    torch.testing.assert_close(geocross(square), torch.tensor([2 / 8 * (math.pi / 2) ** 2 / 2]), rtol=1e-3, atol=1e-3)


def test_an_image_above_eps_is_kept_and_told() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    reachable = generator.image(problem.draw("other", generator.draw_latent))
    mixed = replace(problem, y=torch.cat([problem.operator.A(reachable[:1]), problem.y[1:] + 9]))
    found = pulse(mixed, generator, steps=60, eps=0.05)
    assert found.status == ("ok", "not found")
    assert found.images.isfinite().all()


def test_the_best_image_has_the_lowest_loss_and_restarts_keep_it() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    found = solve(pulse, problem, generator, restarts=2, steps=15)
    alone = pulse(problem, generator, steps=15)
    assert found.loss is not None and alone.loss is not None and alone.trace is not None
    assert (found.loss <= alone.loss * (1 + 1e-9)).all()  # batches of other sizes round otherwise
    torch.testing.assert_close(alone.loss, alone.trace.min(1).values)


def test_a_loss_of_the_study_replaces_the_squared_error() -> None:
    generator = made("stylegan2")
    problem = replace(problem_of(generator), losses=[{"name": "squared-error", "reduction": "mean"}])
    found, usual = (
        pulse(p, generator, steps=5, eps=1e9, weight=1.0, cross=0.0) for p in (problem, problem_of(generator))
    )
    assert found.trace is not None and usual.trace is not None
    assert (usual.trace == 1e9).all()  # never below eps
    expected = (problem.operator.A(found.images) - problem.y).square().flatten(1).mean(1)
    torch.testing.assert_close(found.loss, expected)


def test_one_latent_vector_is_refused() -> None:
    generator = made("began")
    assert isinstance(problem_of(generator).operator, Gaussian)
    with pytest.raises(UserError, match="method pulse: the generator has one latent vector"):
        pulse(problem_of(generator), generator)


def test_noise_in_each_step_is_refused_where_the_loss_does_not_see_it() -> None:
    generator = made("stylegan2")
    problem = replace(problem_of(generator), sna=True, noise=0.1)
    with pytest.raises(UserError, match="this method has a loss of its own; remove `sna` from its settings"):
        solve(pulse, problem, generator, steps=2)
