"""Plug-and-play: a denoiser in the place of a prior's proximal map."""

from __future__ import annotations

from torch import Tensor, nn

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction
from reprior.methods.npgd import projected_gradient
from reprior.operators.solve import squared_norm
from reprior.types import Count, Positive


def plug_and_play(
    problem: Problem, denoiser: nn.Module, *, steps: Count = 200, lr: Positive | None = None
) -> Reconstruction:
    """x_{t+1} = D(x_t - lr A^T (A x_t - y)): proximal gradient descent, with a denoiser D instead of a proximal map.

    Venkatakrishnan, Bouman, Wohlberg: Plug-and-play priors for model based reconstruction, GlobalSIP 2013, where it is
    ADMM. As proximal gradient descent: Kamilov, Mansour, Wohlberg: A plug-and-play priors approach for solving
    nonlinear imaging inverse problems, IEEE Signal Processing Letters 24, 2017, without its acceleration. It is NPGD
    with D instead of G(G_dag(.)), so start and result are those of `npgd`. But D does not keep x in a bounded set as G
    does, so a step above 2 / ||A||^2 diverges. Without `lr` it is 1 / ||A||^2, the usual step of proximal gradients.

    The papers leave open: the denoiser (ours: a network, see the training task `denoising`); the number of steps.
    """

    def D(w: Tensor) -> dict[str, Tensor]:
        x = denoiser(w)
        if x.shape != w.shape:
            raise UserError(
                f"method plug-and-play: the denoiser makes {tuple(x.shape[1:])} of images of "
                f"{tuple(w.shape[1:])}; use a network trained by the task denoising"
            )
        return {"x": x}

    step_size = lr or 1 / squared_norm(problem.operator, like=problem.y)
    kept, trace, status = projected_gradient(problem, D, steps, step_size)
    return Reconstruction(kept["x"], trace=trace, status=status)
