"""PULSE: a latent on the sphere whose image fits the measurements."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from reprior.generators.base import INPUT, Generator
from reprior.losses import DEFAULT
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.geocross import check_vectors, geocross
from reprior.optimise.loop import Variables, minimise
from reprior.optimise.projections import on_spheres
from reprior.optimise.schedules import up_down_and_drop
from reprior.types import Count, NonNegative, Positive, Whole

NOT_FOUND = "not found"
"""The status of an image whose error stays above eps."""


def pulse(
    problem: Problem,
    generator: Generator,
    *,
    steps: Count = 100,
    lr: Positive = 0.4,
    eps: NonNegative = 2e-3,
    weight: Positive = 100.0,
    cross: NonNegative = 0.05,
    noise_scales: Whole = 3,
    keep: Literal["best", "last"] = "best",
) -> Reconstruction:
    """x = G(z), z = argmin weight max(eps, mean (y - A x)^2) + cross GEOCROSS(w(z)), each vector of z on its sphere.

    Menon et al.: PULSE: Self-Supervised Photo Upsampling via Latent Space Exploration of Generative Models, CVPR 2020.
    It is also the CSGM of ILO's comparisons, with a `loss` of the study in the place of max(eps, ...). The rate
    rises from lr / 10 to lr, falls back, and drops in the last tenth of the steps. Noise maps of the first scales are
    optimised, too. The generator has a latent vector per layer, such as `stylegan2` with `styles: gaussian`.

    The paper leaves open, and the released code decides:
    - which image is returned: its last, and none if no error was as low as eps. Ours is the best, and then its status
      is `not found`;
    - which noise maps: the first five, the others fixed. It sets the last of StyleGAN's maps to zero; StyleGAN2 has no
      such map.
    """
    check_vectors(generator.latent_shape, "method pulse")
    inputs = problem.draw_inputs(generator)
    start = {name: inputs[name] for name in generator.free(INPUT, noise_scales)}
    m = problem.y[0].numel()

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = generator.image_from({**inputs, **variables}, INPUT)
        mse = problem.residual(x) / m
        fit = mse.clamp_min(eps) if problem.losses is DEFAULT else problem.loss(x, step)
        penalty = geocross(generator.styles_of(variables["z"])) if cross else 0.0
        return weight * fit + cross * penalty, {"x": x, "z": variables["z"], "mse": mse}

    found = minimise(
        f,
        start,
        steps=steps,
        lr=lr,
        keep=keep,
        schedule=up_down_and_drop,
        project=on_spheres(start, {name: 2 if name == "z" else 1 for name in start}),
        watch=problem.watch,
        name="pulse",
    )
    reached = (found.kept["mse"] <= eps).tolist()
    status = tuple(s if s != "ok" or good else NOT_FOUND for s, good in zip(found.status, reached, strict=True))
    return Reconstruction(found.kept["x"], found.kept["z"], found.trace, status, loss=found.loss)
