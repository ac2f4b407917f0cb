"""Deep Image Prior: an untrained network, fitted to one observation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction
from reprior.networks.initial import draw_convolutions
from reprior.networks.skip import Skip
from reprior.optimise.loop import Variables, minimise
from reprior.optimise.per_image import PerImage
from reprior.types import Count, NonNegative, Positive


def dip(
    problem: Problem,
    *,
    steps: Count = 2000,
    lr: Positive = 0.01,
    noise: NonNegative = 0.03,
    input_depth: Count = 32,
    channels: Count = 128,
    skip: Count = 4,
    scales: Count = 5,
    keep: Literal["best", "last"] = "last",
) -> Reconstruction:
    """x = f_theta(u + noise n), theta = argmin mean((y - A f_theta(u + noise n))^2), n ~ N(0, 1) new in each step.

    Ulyanov, Vedaldi, Lempitsky: Deep Image Prior, CVPR 2018. u ~ U[0, 1) / 10 is fixed. Adam tunes theta, the weights
    of an untrained encoder-decoder of 2,217,831 parameters. The result is the network's output in the last step. The
    defaults are the released ones for x4 super-resolution (x8: 4000 steps, noise 0.05; denoising: 3000 steps, noise
    1/30). IAGAN divides the steps by 4 if y is noisy.

    The paper leaves open: A for the problems of IAGAN (ours: the problem's own operator).
    """
    colours, height, width = problem.operator.image_shape
    if min(height, width) <= 2**scales:
        raise UserError(
            f"method dip: images of {height} x {width} are too small for {scales} scales; set fewer `scales`"
        )
    net = Skip(input_depth, channels, skip, scales, colours)
    f = PerImage(net, together=False)
    shape = (input_depth, height, width)
    u = problem.draw("input", lambda rng: torch.rand(shape, generator=rng)) / 10

    n = problem.step_noise("input noise", shape)

    def objective(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = f(variables["theta"], u + noise * n(step).to(u.dtype) if noise else u)
        return problem.loss(x, step) / problem.y[0].numel(), {"x": x}

    def drawn(rng: torch.Generator) -> Tensor:
        draw_convolutions(net, rng)
        return f.weights()

    start = {"theta": problem.draw("weights", drawn)}
    found = minimise(objective, start, steps=steps, lr=lr, keep=keep, watch=problem.watch, name="dip")
    return Reconstruction(found.kept["x"], trace=found.trace, status=found.status, loss=found.loss)
