from __future__ import annotations

import pytest
import torch

from reprior.errors import UserError
from reprior.operators.gaussian import Gaussian

SHAPE = (3, 16, 16)


def gaussian(shape=SHAPE, **settings) -> Gaussian:
    return Gaussian(shape, torch.Generator().manual_seed(1), **settings)


def test_entries_are_normal_with_variance_one_over_m():
    rows = gaussian(measurements=500).rows * 500**0.5
    count = rows.numel()
    assert rows.mean().abs() < 4 / count**0.5
    assert (rows.var() - 1).abs() < 4 * (2 / count) ** 0.5
    assert ((rows.abs() < 1).double().mean() - 0.6827).abs() < 4 * (0.22 / count) ** 0.5
    assert rows[0].dot(rows[1]).abs() < 5 * 768**0.5
    assert len(rows.unique(dim=0)) == 500


def test_ratio_and_measurements_are_the_same_operator():
    assert gaussian(ratio=0.25).rows.equal(gaussian(measurements=192).rows)
    assert gaussian(ratio=0.122).measurement_shape == (94,)


@pytest.mark.parametrize("settings", [{}, {"ratio": 0.5, "measurements": 384}, {"measurements": 769}, {"ratio": 1e-4}])
def test_refuses_no_two_or_impossible_counts(settings):
    with pytest.raises(UserError, match="measurements"):
        gaussian(**settings)


def test_pixels_are_flattened_channel_by_channel():
    operator = gaussian(measurements=5)
    x = torch.zeros(1, *SHAPE)
    x[0, 2, 3, 4] = 1
    assert operator.A(x)[0].equal(operator.rows[:, 2 * 256 + 3 * 16 + 4])


@pytest.mark.parametrize("ratio", [0.122, 0.61, 0.916])
def test_dagger_reaches_its_tolerance_in_float32(ratio):
    operator = gaussian((3, 20, 20), ratio=ratio)
    y = torch.randn(4, *operator.measurement_shape, generator=torch.Generator().manual_seed(2))
    residual = (y - operator.A(operator.A_dagger(y))).norm(dim=1)
    assert (residual <= 1e-5 * y.norm(dim=1)).all()


def test_back_projection_never_hurts():
    """Without noise ||x_hat + A^+(y - A x_hat) - x|| <= ||x_hat - x||: only the part in A's null space remains."""
    operator = gaussian(ratio=0.5)
    x, x_hat = torch.rand(2, 4, *SHAPE, generator=torch.Generator().manual_seed(2)).unbind()
    projected = x_hat + operator.A_dagger(operator.A(x) - operator.A(x_hat))
    before, after = ((a - x).flatten(1).norm(dim=1) for a in (x_hat, projected))
    torch.testing.assert_close((after / before) ** 2, torch.full((4,), 0.5), atol=0.1, rtol=0)
