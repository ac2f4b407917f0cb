from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reprior.errors import UserError
from reprior.operators import make_operator, solve
from reprior.operators.solve import least_norm, squared_norm


def solved(matrix: torch.Tensor, y: torch.Tensor, tolerance: float) -> torch.Tensor:
    return least_norm(lambda x: x @ matrix.T, lambda y: y @ matrix, y, tolerance)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=25, deadline=None)
@given(m=st.integers(1, 12), more=st.integers(4, 12), rows=st.integers(1, 4), exponent=st.integers(-15, 15))
def test_is_the_pseudo_inverse_at_every_size_and_scale(m, more, rows, exponent):
    matrix, y = random(m, m + more), random(rows, m, seed=1) * 10.0**exponent
    expected = y @ torch.linalg.pinv(matrix).T
    assert ((solved(matrix, y, 1e-11) - expected).norm(dim=1) <= 1e-8 * expected.norm(dim=1)).all()


def test_starts_again_where_rounding_makes_the_running_residual_drift():
    """With products of eleven bits, a single run of conjugate gradients misses the tolerance."""
    matrix, y = random(36, 40, dtype=torch.float32), random(3, 36, seed=1, dtype=torch.float32)

    def A(x: torch.Tensor) -> torch.Tensor:
        return (x @ matrix.T).half().float()

    def missed(x: torch.Tensor) -> torch.Tensor:
        return ((y - A(x)).norm(dim=1) / y.norm(dim=1)).max()

    single, _ = solve._sweep(A, lambda y: y @ matrix, y / y.norm(dim=1)[:, None], 1e-3, solve.LIMIT)
    assert missed(single * y.norm(dim=1)[:, None]) > 1e-3
    assert missed(least_norm(A, lambda y: y @ matrix, y, 1e-3)) <= 1.1e-3  # scaled by ||y|| after rounding


def test_tells_the_residual_that_it_cannot_pass():
    matrix, y = random(20, 40, dtype=torch.float32), random(1, 20, seed=1, dtype=torch.float32)
    with pytest.raises(UserError, match=r"relative residual of \d\.\de-\d\d .* tolerance of 1\.0e-12"):
        solved(matrix, y, 1e-12)


def test_gives_up_after_a_limit(monkeypatch):
    monkeypatch.setattr(solve, "LIMIT", 3)
    with pytest.raises(UserError, match="after 3 steps"):
        solved(random(20, 40), random(2, 20, seed=1), 1e-10)


def test_refuses_what_is_not_finite():
    with pytest.raises(UserError, match="not finite"):
        solved(random(2, 4), torch.tensor([[1.0, float("nan")]], dtype=torch.float64), 1e-6)


def test_zero_is_the_image_of_zero():
    assert solved(random(2, 4), torch.zeros(1, 2, dtype=torch.float64), 1e-6).equal(torch.zeros(1, 4).double())


def test_products_are_exact_inside_and_as_they_were_after():
    seen = []

    products = torch.backends.cuda.matmul

    def A(x: torch.Tensor) -> torch.Tensor:
        seen.append(products.allow_tf32)
        return x

    products.allow_tf32 = True
    try:
        least_norm(A, lambda y: y, torch.ones(1, 3), 1e-6)
        assert set(seen) == {False}
        assert products.allow_tf32
    finally:
        products.allow_tf32 = False


def test_the_squared_norm_is_the_largest_eigenvalue() -> None:
    operator = make_operator("s", "c", {"name": "gaussian", "measurements": 20}, (1, 8, 8))
    largest = torch.linalg.eigvalsh(operator.rows.double().T @ operator.rows.double())[-1].item()
    assert squared_norm(operator, torch.zeros(1)) == pytest.approx(largest, rel=0.02)
    halves = make_operator("s", "c", {"name": "block-average", "scale": 2}, (3, 8, 8))
    assert squared_norm(halves, torch.zeros(1)) == pytest.approx(1 / 4)
