"""Ridge regression: the image of small norm that fits the measurements. Replace the objective by yours."""

from __future__ import annotations

from torch import Tensor

from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.loop import Variables, minimise
from reprior.types import Count, NonNegative, Positive


def new_method(
    problem: Problem, *, steps: Count = 200, lr: Positive = 0.02, weight: NonNegative = 0.01
) -> Reconstruction:
    """x = argmin ||y - A x||^2 + weight ||x||^2, by Adam from A^T y."""

    def objective(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = variables["x"]  # [N, C, H, W]
        return problem.loss(x, step) + weight * x.square().flatten(1).sum(1), {"x": x}  # one number per image

    start = {"x": problem.operator.A_adjoint(problem.y)}
    found = minimise(objective, start, steps=steps, lr=lr, watch=problem.watch, name="new-method")
    return Reconstruction(found.kept["x"], trace=found.trace, status=found.status)
