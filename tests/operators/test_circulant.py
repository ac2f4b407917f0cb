from __future__ import annotations

import pytest
import torch
from scipy.linalg import circulant

from reprior.errors import UserError
from reprior.operators.circulant import Circulant


def make(shape=(1, 4, 5), **settings) -> Circulant:
    return Circulant(shape, torch.Generator().manual_seed(1), **settings).to("cpu", torch.float64)


def dense(operator: Circulant) -> torch.Tensor:
    n = torch.tensor(operator.image_shape).prod()
    return operator.A(torch.eye(n, dtype=torch.float64).view(n, *operator.image_shape)).T


@pytest.mark.parametrize("shape", [(1, 4, 5), (1, 3, 5)])
def test_is_a_circulant_matrix_with_flipped_columns(shape):
    """Without the signs of its columns, A is the circulant matrix of one vector."""
    rng = torch.Generator().manual_seed(1)
    n = shape[1] * shape[2]
    g = torch.randn(n, generator=rng).double().numpy()
    signs = torch.randint(2, (n,), generator=rng) * 2.0 - 1
    expected = torch.from_numpy(circulant(g)) * signs
    torch.testing.assert_close(dense(make(shape, ratio=1.0)), expected, atol=1e-5, rtol=0)


def test_keeps_distinct_rows_of_it():
    whole, part = dense(make(ratio=1.0)), dense(make(ratio=0.5))
    kept = [int((whole - row).norm(dim=1).argmin()) for row in part]
    assert len(set(kept)) == 10
    torch.testing.assert_close(whole[kept], part)


def test_normalised_has_the_scale_of_the_gaussian():
    plain, scaled = (make((3, 16, 16), ratio=0.5, normalised=normalised) for normalised in (False, True))
    x = torch.randn(20, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(scaled.A(x) * 384**0.5, plain.A(x), atol=1e-4, rtol=1e-5)
    assert abs(scaled.A(x).square().sum() / x.square().sum() - 1) < 0.1


def test_refuses_a_ratio_without_a_measurement():
    with pytest.raises(UserError, match="not even one measurement"):
        make(ratio=0.01)
