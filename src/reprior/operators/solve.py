"""The pseudo-inverse of an operator without a closed form, by conjugate gradients, and the norm of any operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.machine.precision import computing_in
from reprior.operators.base import Operator
from reprior.seeds import SHARED, rng_for

LIMIT = 5000
"""Steps after which `least_norm` gives up; a Gaussian A of ratio 0.92 takes about 300."""


def least_norm(
    A: Callable[[Tensor], Tensor], A_adjoint: Callable[[Tensor], Tensor], y: Tensor, tolerance: float
) -> Tensor:
    """x = A^T (A A^T)^-1 y: [N, m] -> [N, *image_shape], such that ||y - A x|| <= `tolerance` ||y|| for each row.

    Conjugate gradients on A A^T w = y, written for x = A^T w: the residual is y - A x, without a squared condition
    number. If rounding makes the running residual drift from the true one, the iteration restarts from the true one. A
    row stops by its own residual, so its result does not depend on the other rows.
    """
    if not y.isfinite().all():
        raise UserError("A_dagger was given measurements that are not finite")
    scale = _norm(y)  # [N]
    y = y / _or_one(scale)[:, None]
    with computing_in("float32", y.device):  # TF32 has errors of 1e-3, so no lower tolerance could be reached
        x, used = _sweep(A, A_adjoint, y, tolerance, LIMIT)
        before, residual = _norm(y), y - A(x)
        while (short := _norm(residual) > tolerance).any():
            after = _norm(residual)
            if used >= LIMIT or (after > before / 2)[short].any():
                raise UserError(_unreached(float(after.max()), tolerance, used))
            # Rows that are done have a zero residual and stay as they are.
            correction, more = _sweep(A, A_adjoint, residual * short[:, None], tolerance, LIMIT - used)
            x, used, before = x + correction, used + more, after
            residual = y - A(x)
    return x * _or_one(scale).view(-1, *[1] * (x.ndim - 1))


@torch.no_grad()
def squared_norm(operator: Operator, like: Tensor, steps: int = 100) -> float:
    """||A||^2, the largest eigenvalue of A^T A, by power iteration; never above it. On the device of `like`."""
    v = torch.randn(1, *operator.image_shape, generator=rng_for("solve", "", SHARED, "norm")).to(like)
    for _ in range(steps):
        v = operator.A_adjoint(operator.A(v / v.norm()))
    return v.norm().item()


def _sweep(
    A: Callable[[Tensor], Tensor], A_adjoint: Callable[[Tensor], Tensor], r: Tensor, tolerance: float, limit: int
) -> tuple[Tensor, int]:
    """Conjugate gradients from x = 0 until each row's running residual is half of `tolerance`: (x, steps)."""
    p = A_adjoint(r)  # [N, C, H, W]
    x = torch.zeros_like(p)
    rr = r.square().sum(1)  # [N]
    steps = 0
    while steps < limit and (active := rr > (tolerance / 2) ** 2).any():
        alpha = active * rr / _or_one(p.flatten(1).square().sum(1))
        x = x + _times(alpha, p)
        r = r - alpha[:, None] * A(p)
        was, rr = rr, r.square().sum(1)
        p = A_adjoint(r) + _times(rr / _or_one(was), p)
        steps += 1
    return x, steps


def _times(rows: Tensor, images: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (images.ndim - 1)) * images


def _norm(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1)


def _or_one(values: Tensor) -> Tensor:
    return values.where(values > 0, torch.ones_like(values))


def _unreached(residual: float, tolerance: float, steps: int) -> str:
    return (
        f"A_dagger: conjugate gradients reached a relative residual of {residual:.1e} after {steps} steps, above the "
        f"operator's tolerance of {tolerance:.1e}; raise `tolerance`, or lower the number of measurements: the nearer "
        "it is to the number of pixels, the worse the operator is conditioned"
    )
