"""The restricted eigenvalues of an operator on the range of a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.loop import Objective, Variables, minimise
from reprior.optimise.rounds import joined, round_name
from reprior.types import Count, Positive

RESTORES = False


def restricted_eigenvalues(
    problem: Problem, generator: Generator, *, steps: Count = 200, lr: Positive = 0.1
) -> Reconstruction:
    """alpha = min r, beta = max r, r(z1, z2) = ||A (G(z1) - G(z2))||^2 / ||G(z1) - G(z2)||^2, by Adam from random z.

    Raj, Li, Bresler: GAN-based Projector for Faster Recovery with Convergence Guarantees in Linear Inverse Problems,
    ICCV 2019, Definition 1 (restricted eigenvalue condition): alpha <= r <= beta for all pairs; NPGD converges if
    beta / alpha < 2. Each row has its own pair of draws and gives `rec-alpha` and `rec-beta`. The least alpha of all
    rows bounds the true one from above, the largest beta from below.

    Nothing is restored: y is not used, and the images are G(z1) of the pair with the lowest r.

    The paper leaves open: how r is optimised. The released script cannot run (modules are missing). It takes 200 rounds
    of five gradient steps of 0.1 on z2 and five on z1, from z2 near z1, and clips both constants at 1. Ours: `steps` of
    Adam on both at once, from two draws of the prior, once down and once up, and the best pair of each, not clipped.
    """
    start = {name: problem.draw(name, generator.draw_latent) for name in ("z1", "z2")}
    names = [round_name("restricted-eigenvalues", number, 2) for number in range(2)]
    down, up = (
        minimise(_signed_ratio(problem, generator, sign), start, steps=steps, lr=lr, watch=problem.watch, name=name)
        for sign, name in zip((1, -1), names, strict=True)
    )
    numbers = {"rec-alpha": down.loss, "rec-beta": -up.loss}
    trace = torch.cat([down.trace, -up.trace], 1)
    return Reconstruction(down.kept["x"], trace=trace, status=joined([down, up]).status, numbers=numbers)


def _signed_ratio(problem: Problem, generator: Generator, sign: int) -> Objective:
    """sign * r: [N]. Image scales cancel, because A is linear."""

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = generator.image(variables["z1"])
        d = x - generator.image(variables["z2"])  # [N, C, H, W]
        norms = (v.square().flatten(1).sum(1) for v in (problem.operator.A(d), d))
        return sign * torch.div(*norms), {"x": x}

    return f
