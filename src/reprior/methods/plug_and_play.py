"""Plug-and-play: a denoiser in the place of a prior's proximal map."""

from __future__ import annotations

from torch import Tensor, nn

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction
from reprior.methods.npgd import projected_gradient
from reprior.types import Count, Positive


def plug_and_play(problem: Problem, denoiser: nn.Module, *, steps: Count = 30, lr: Positive = 1.0) -> Reconstruction:
    """x_{t+1} = D(x_t - lr A^T (A x_t - y)): proximal gradient descent, with a denoiser D instead of a proximal map.

    Venkatakrishnan, Bouman, Wohlberg: Plug-and-play priors for model based reconstruction, GlobalSIP 2013, where it is
    ADMM. As proximal gradient descent: Kamilov, Mansour, Wohlberg: A plug-and-play priors approach for solving
    nonlinear imaging inverse problems, IEEE Signal Processing Letters 24, 2017, without its acceleration. It is NPGD
    with D instead of G(G_dag(.)), so start, steps and result are those of `npgd`.

    The papers leave open: the denoiser (ours: a network, see the training task `denoising`).
    """

    def D(w: Tensor) -> dict[str, Tensor]:
        x = denoiser(w)
        if x.shape != w.shape:
            raise UserError(
                f"case {problem.case}: method plug-and-play: the denoiser makes {tuple(x.shape[1:])} of images of "
                f"{tuple(w.shape[1:])}; use a network trained by the task denoising"
            )
        return {"x": x}

    kept, trace, status = projected_gradient(problem, D, steps, lr)
    return Reconstruction(kept["x"], trace=trace, status=status)
