"""PGD-GAN: projected gradient descent, with an optimisation of the latents as the projection."""

from __future__ import annotations

from torch import Tensor

from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.loop import Objective, Variables, minimise
from reprior.optimise.rounds import joined, round_name
from reprior.types import Count, NonNegative, Positive

_SQUARED_SCALE = 4.0
"""A squared distance of images in [-1, 1] over the same distance in [0, 1]."""


def pgd_gan(
    problem: Problem,
    generator: Generator,
    *,
    rounds: Count = 10,
    steps: Count = 100,
    lr: Positive = 0.1,
    step_size: Positive = 0.5,
    z_penalty: NonNegative = 0.001,
) -> Reconstruction:
    """x_{t+1} = G(z), z = argmin ||G(z) - w_t||^2, w_t = x_t + step_size A^T (y - A x_t), for `rounds` rounds.

    Shah, Hegde: Solving Linear Inverse Problems Using GAN Priors: An Algorithm with Provable Guarantees, ICASSP 2018,
    Algorithm 1, where G has images in [-1, 1] and x_0 = 0: mid-grey. Adam takes `steps` steps in each round.

    The paper leaves open, and the released code decides:
    - the start of z: one draw of the prior, then the z of the round before; Adam's moments start anew;
    - the inner loss: the mean over pixel values in [-1, 1], and z_penalty ||z||^2;
    - which iterate: z after the last of the `steps` updates. So the loop evaluates G `steps` + 1 times.
    """
    A, A_adjoint, y = problem.operator.A, problem.operator.A_adjoint, problem.y
    x = y.new_full((len(problem), *problem.operator.image_shape), 0.5)
    z = problem.draw("start", generator.draw_latent)
    found = []
    for t in range(rounds):
        w = x + step_size * A_adjoint(y - A(x))
        f, name = _distance(generator, w, z_penalty), round_name("pgd-gan", t, rounds)
        found.append(minimise(f, {"z": z}, steps=steps + 1, lr=lr, keep="last", watch=problem.watch, name=name))
        x, z = found[-1].kept["x"], found[-1].kept["z"]
    whole = joined(found)
    return Reconstruction(x, z, whole.trace, whole.status, loss=problem.residual(x))


def _distance(generator: Generator, w: Tensor, z_penalty: float) -> Objective:
    """The inner loss: how far G(z) is from w [N, C, H, W]."""

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        z = variables["z"]
        x = generator.image(z)
        distance = _SQUARED_SCALE * (x - w).square().flatten(1).mean(1)
        return distance + z_penalty * z.square().flatten(1).sum(1), {"x": x, "z": z}

    return f
