"""What a method must do: fit the measurements, and treat each image by itself."""

from __future__ import annotations

from pathlib import Path

import torch

from reprior.loading import load
from reprior.methods.base import Problem, Reconstruction
from reprior.operators.block_average import BlockAverage
from reprior.planning import plugin_folders

FOLDER = Path(__file__).parents[1]
SETTINGS = {"steps": 50}


def made() -> Problem:
    """Two small images, measured as averages of blocks."""
    rng = torch.Generator().manual_seed(0)
    operator = BlockAverage((3, 8, 8), rng, scale=2)
    x = torch.rand(2, 3, 8, 8, generator=rng)
    return Problem(operator.A(x), operator, "study", "case", ("a", "b"))


def solved(problem: Problem) -> Reconstruction:
    plugin_folders.use([FOLDER])
    found: Reconstruction = load("method", "new-method")(problem, **SETTINGS)
    return found


def test_the_residual_is_lower_than_at_the_start() -> None:
    problem = made()
    found = solved(problem)
    start = problem.residual(problem.operator.A_adjoint(problem.y))
    assert found.images.shape == (2, 3, 8, 8)
    assert (problem.residual(found.images) < 0.1 * start).all()


def test_the_objective_falls() -> None:
    trace = solved(made()).trace
    assert trace is not None
    assert (trace[:, -1] < trace[:, 0]).all()


def test_an_image_alone_ends_as_in_a_batch() -> None:
    problem = made()
    torch.testing.assert_close(solved(problem[1:2]).images, solved(problem).images[1:2])
