"""Image-adaptive GAN: the generator's weights are tuned to each image."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.loop import Variables, minimise
from reprior.optimise.per_image import PerImage
from reprior.types import Count, Positive


def iagan(
    problem: Problem,
    generator: Generator,
    start: Reconstruction,
    *,
    steps: Count = 500,
    lr_z: Positive = 1e-4,
    lr_weights: Positive = 1e-4,
    keep: Literal["best", "last"] = "best",
) -> Reconstruction:
    """x = G_theta(z), (theta, z) = argmin f_IA(theta, z) = ||y - A G_theta(z)||^2, by Adam.

    Abu Hussein, Tirer, Giryes: Image-Adaptive GAN based Reconstruction, AAAI 2020, eq. (3). theta starts from the
    trained weights, z from CSGM's result. All weights are tuned. The defaults are those of BEGAN and super-resolution
    (compressed sensing: 600 steps; PGGAN: 300 and 500 steps, lr_weights 1e-3; noise: half the steps).

    The paper leaves open: nothing. Its released code differs: 300 steps, and the last iterate (`keep: last`).
    """
    if start.latents is None:
        raise UserError("method iagan starts from latents, but its start has none; start from csgm")
    G = PerImage(_Image(generator))

    def f_IA(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = G(variables["theta"], variables["z"])
        return problem.loss(x, step), {"x": x, "z": variables["z"]}

    first = {"theta": G.weights().expand(len(problem), -1), "z": start.latents}
    rates = {"theta": lr_weights, "z": lr_z}
    found = minimise(f_IA, first, steps=steps, lr=rates, keep=keep, watch=problem.watch, name="iagan")
    return Reconstruction(found.kept["x"], found.kept["z"], found.trace, found.status, loss=found.loss)


class _Image(nn.Module):
    """The generator as a map to images on the [0, 1] scale."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        """[1, *latent_shape] -> [1, C, H, W]"""
        return self.generator.image(z)
