"""Compressed sensing using generative models."""

from __future__ import annotations

from typing import Literal

import torch

from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.loop import Variables, minimise
from reprior.types import Count, NonNegative, Positive


def csgm(
    problem: Problem,
    generator: Generator,
    *,
    steps: Count = 1600,
    lr: Positive = 0.1,
    restarts: Count = 1,
    keep: Literal["best", "last"] = "best",
    z_penalty: NonNegative = 0.0,
) -> Reconstruction:
    """x = G(z), z = argmin f(z) = ||y - A G(z)||^2 + z_penalty ||z||^2, by Adam from a z of the prior.

    Bora, Jalal, Price, Dimakis: Compressed Sensing using Generative Models, ICML 2017; eq. (2) of IAGAN (Abu Hussein et
    al. 2020), whose settings for BEGAN are the defaults (PGGAN: 1800 steps; noise: half the steps).

    The paper leaves open: the start (ours: one draw of the prior; IAGAN's released code takes the best of 5,
    `restarts`, each optimised by itself, and their last iterates, `keep`). Bora et al. divide ||.||^2 by the number m
    of measurements: their weight of the penalty is ours / m.
    """
    starts = [problem.draw("start", generator.draw_latent, restart) for restart in range(restarts)]
    y = problem.y.repeat_interleave(restarts, 0)  # [N * restarts, ...]: the restarts of an image are neighbours

    def f(variables: Variables, step: int) -> tuple[torch.Tensor, Variables]:
        z = variables["z"]
        x = generator.image(z)
        loss = (y - problem.operator.A(x)).square().flatten(1).sum(1)
        if z_penalty:
            loss = loss + z_penalty * z.square().flatten(1).sum(1)
        return loss, {"x": x, "z": z}

    start = {"z": torch.stack(starts, 1).flatten(0, 1)}
    found = minimise(f, start, steps=steps, lr=lr, keep=keep, watch=problem.watch, name="csgm")
    best = found.loss.view(-1, restarts).argmin(1) + torch.arange(0, len(y), restarts, device=y.device)
    status = tuple(found.status[row] for row in best.tolist())
    return Reconstruction(found.kept["x"][best], found.kept["z"][best], found.trace[best], status)
