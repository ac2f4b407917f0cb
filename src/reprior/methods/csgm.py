"""Compressed sensing using generative models."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

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
    keep: Literal["best", "last"] = "best",
    z_penalty: NonNegative = 0.0,
) -> Reconstruction:
    """x = G(z), z = argmin f(z) = ||y - A G(z)||^2 + z_penalty ||z||^2, by Adam from a random z.

    Bora, Jalal, Price, Dimakis: Compressed Sensing using Generative Models, ICML 2017; eq. (2) of IAGAN (Abu Hussein et
    al. 2020), whose settings for BEGAN are the defaults (PGGAN: 1800 steps; noise: half the steps).

    The paper leaves open: the start (ours: one draw of the prior). IAGAN's released code optimises 5 starts separately,
    takes the last iterate of each (`keep: last`) and keeps the best (`restarts: 5` in a study). Bora et al. divide
    ||.||^2 by the number m of measurements, so their penalty weight is ours / m.
    """

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        z = variables["z"]
        x = generator.image(z)
        loss = problem.loss(x, step)
        if z_penalty:
            loss = loss + z_penalty * z.square().flatten(1).sum(1)
        return loss, {"x": x, "z": z}

    start = {"z": problem.draw("start", generator.draw_latent)}
    found = minimise(f, start, steps=steps, lr=lr, keep=keep, watch=problem.watch, name="csgm")
    return Reconstruction(found.kept["x"], found.kept["z"], found.trace, found.status, loss=found.loss)
