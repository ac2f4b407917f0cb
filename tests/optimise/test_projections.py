"""Projections compared with their definitions and a general solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from reprior.optimise.projections import near_start, norms, on_spheres, to_l1_ball

ROWS = st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=1, max_size=5)


def by_a_solver(v: np.ndarray, radius: float) -> np.ndarray:
    """The nearest point of the l1 ball as a quadratic programme of positive and negative parts."""
    n = len(v)
    inside = {"type": "ineq", "fun": lambda w: radius - w.sum()}
    found = minimize(
        lambda w: ((w[:n] - w[n:] - v) ** 2).sum(),
        np.zeros(2 * n),
        jac=lambda w: np.concatenate([2 * (w[:n] - w[n:] - v), -2 * (w[:n] - w[n:] - v)]),
        bounds=[(0, None)] * (2 * n),
        constraints=[inside],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return found.x[:n] - found.x[n:]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.floats(0.1, 8))
def test_the_l1_projection_is_the_nearest_point_of_the_ball(rows: list[list[float]], radius: float) -> None:
    v = torch.tensor(rows, dtype=torch.float64)
    found = to_l1_ball(v, radius)
    assert (found.abs().sum(1) <= radius + 1e-9).all()
    for row, w in zip(v.numpy(), found.numpy(), strict=True):
        best = by_a_solver(row, radius)
        assert ((w - row) ** 2).sum() <= ((best - row) ** 2).sum() + 1e-5


def test_the_l1_projection_works_row_by_row_on_any_shape() -> None:
    v = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    v[1] *= 0.001
    found = to_l1_ball(v, 2.0)
    assert torch.equal(found[1], v[1]), "what lies in the ball stays"
    torch.testing.assert_close(found.flatten(1).abs().sum(1)[[0, 2]], torch.full((2,), 2.0))
    for row in range(3):
        assert torch.equal(found[row : row + 1], to_l1_ball(v[row : row + 1], 2.0))
    assert torch.equal(to_l1_ball(torch.zeros(2, 3), 1.0), torch.zeros(2, 3))


@pytest.mark.parametrize("axes", [1, 2])
def test_spheres_keep_the_norms_of_the_start(axes: int) -> None:
    start = {"z": torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)), "free": torch.ones(4, 2)}
    variables = {name: value + 1 for name, value in start.items()}
    moved = {name: value.clone() for name, value in variables.items()}
    on_spheres(start, {"z": axes})(variables)
    torch.testing.assert_close(norms(variables["z"], axes), norms(start["z"], axes))
    direction = torch.cosine_similarity(variables["z"].flatten(axes), moved["z"].flatten(axes), dim=axes)
    torch.testing.assert_close(direction, torch.ones_like(direction))
    assert torch.equal(variables["free"], moved["free"])


def test_a_change_since_the_start_stays_within_its_radius() -> None:
    start = {"g": torch.randn(4, 6, generator=torch.Generator().manual_seed(0)), "z": torch.zeros(4, 2)}
    variables = {name: value + 1 for name, value in start.items()}
    near_start(start, {"g": 1.5})(variables)
    torch.testing.assert_close((variables["g"] - start["g"]).abs().sum(1), torch.full((4,), 1.5))
    assert torch.equal(variables["z"], torch.ones(4, 2))
