"""NPGD: projected gradient descent whose projector is a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.types import Count, Positive


def npgd(
    problem: Problem, generator: Generator, projector: nn.Module, *, steps: Count = 30, lr: Positive = 1.0
) -> Reconstruction:
    """x_{t+1} = G(G_dag(w_t)), w_t = x_t - lr A^T (A x_t - y), from x_0 = A^T y; no optimisation inside a step.

    Raj, Li, Bresler: GAN-based Projector for Faster Recovery with Convergence Guarantees in Linear Inverse Problems,
    ICCV 2019, Algorithm 1. G_dag is the `projector`: it is trained once per generator, for all operators. It converges
    if lr = 1 / beta and beta / alpha < 2, with alpha and beta of `restricted-eigenvalues`. The default lr is the
    released one for compressed sensing of MNIST (CelebA: 0.5; inpainting: 2, CelebA 1; super-resolution x2: 6).

    The paper leaves open:
    - the scale of x_0 (ours: images in [-1, 1], as in the released code; w_t is the same on both scales);
    - when to stop and which iterate is the result (ours: the last of `steps`, as in the released code, not clipped).
    """
    _check_fit(generator, projector)

    def P(w: Tensor) -> dict[str, Tensor]:
        z = projector(w)  # [N, *latent_shape]
        return {"x": generator.image(z), "z": z}

    kept, trace, status = projected_gradient(problem, P, steps, lr)
    return Reconstruction(kept["x"], kept["z"], trace, status)


@torch.no_grad()
def projected_gradient(
    problem: Problem, P: Callable[[Tensor], dict[str, Tensor]], steps: int, lr: float
) -> tuple[dict[str, Tensor], Tensor, tuple[str, ...]]:
    """x_{t+1} = P(x_t - lr A^T (A x_t - y)) for `steps` steps, from A^T y as if images lay in [-1, 1].

    P: [N, C, H, W] -> {x: [N, C, H, W], and more [N, ...] to keep}. Returns what P gave last, ||A x - y||^2 of each
    step [N, steps], and the status of each row. A row that is no longer finite keeps its last finite iterate.
    """
    A, A_adjoint, y = problem.operator.A, problem.operator.A_adjoint, problem.y
    x = problem.inverted(A_adjoint, centred=True)
    r, kept, trace, finite = A(x) - y, {"x": x}, [], []
    for _ in range(steps):
        found = {key: value.to(y.dtype) for key, value in P(x - lr * A_adjoint(r)).items()}
        x = found["x"]
        r = A(x) - y
        trace.append(r.square().flatten(1).sum(1))
        finite.append(trace[-1].isfinite() & x.isfinite().flatten(1).all(1))
        kept = {key: torch.where(_like(finite[-1], new), new, kept.get(key, new)) for key, new in found.items()}
    fine = torch.stack(finite).all(0).tolist()
    return kept, torch.stack(trace, 1), tuple("ok" if good else "diverged" for good in fine)


def _like(rows: Tensor, value: Tensor) -> Tensor:
    """[N] -> [N, 1, ...], to broadcast with `value` [N, ...]."""
    return rows.view(-1, *[1] * (value.ndim - 1))


def _check_fit(generator: Generator, projector: nn.Module) -> None:
    for shape in ("image_shape", "latent_shape"):
        ours, theirs = getattr(projector, shape, None), getattr(generator, shape)
        if ours != theirs:
            raise UserError(
                f"method npgd: {shape} of the projector is {ours}, of the generator {theirs}; "
                "use the inverse network that was trained against this generator"
            )
