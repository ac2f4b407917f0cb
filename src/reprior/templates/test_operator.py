"""What every operator must do. Change the settings and the shape to those that you use."""

from __future__ import annotations

from pathlib import Path

import torch

from reprior.loading import load
from reprior.operators.base import Operator
from reprior.planning import plugin_folders

FOLDER = Path(__file__).parents[1]
IMAGE_SHAPE = (3, 12, 20)
SETTINGS = {"pixels": 4}


def made() -> Operator:
    """The operator in float64, so that the tolerances can be tight."""
    plugin_folders.use([FOLDER])
    rng = torch.Generator().manual_seed(0)
    operator: Operator = load("operator", "new-operator")(IMAGE_SHAPE, rng, **SETTINGS)
    return operator.to("cpu", torch.float64)


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_shapes_are_as_declared() -> None:
    operator = made()
    y = operator.A(drawn(2, *IMAGE_SHAPE))
    assert y.shape == (2, *operator.measurement_shape)
    assert operator.A_adjoint(y).shape == operator.A_dagger(y).shape == (2, *IMAGE_SHAPE)


def test_the_adjoint_is_the_adjoint() -> None:
    """<A x, y> = <x, A^T y>"""
    operator = made()
    x, y = drawn(2, *IMAGE_SHAPE), drawn(2, *operator.measurement_shape, seed=2)
    torch.testing.assert_close((operator.A(x) * y).sum(), (x * operator.A_adjoint(y)).sum())


def test_the_pseudo_inverse_solves_for_what_was_measured() -> None:
    """A A^+ A x = A x, and A^+ A is symmetric: <A^+ A u, v> = <u, A^+ A v>"""
    operator = made()
    u, v = drawn(2, *IMAGE_SHAPE), drawn(2, *IMAGE_SHAPE, seed=2)
    Pu, Pv = (operator.A_dagger(operator.A(x)) for x in (u, v))
    torch.testing.assert_close(operator.A(Pu), operator.A(u))
    torch.testing.assert_close((Pu * v).sum(), (u * Pv).sum())


def test_an_image_is_measured_as_in_a_batch() -> None:
    operator, x = made(), drawn(3, *IMAGE_SHAPE)
    torch.testing.assert_close(operator.A(x[1:2]), operator.A(x)[1:2])


def test_the_same_seed_makes_the_same_operator() -> None:
    x = drawn(1, *IMAGE_SHAPE)
    assert torch.equal(made().A(x), made().A(x))
