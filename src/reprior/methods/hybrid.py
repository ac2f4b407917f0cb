"""Hybrid: the sum of a trained GAN prior and an untrained Deep Decoder."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.methods.deep_decoder import decoder as decoder_of
from reprior.optimise.loop import Moments, Variables, minimise
from reprior.types import Count, Positive


def hybrid(
    problem: Problem,
    generator: Generator,
    gan: Reconstruction,
    decoder: Reconstruction,
    *,
    steps: Count = 5000,
    lr: Positive = 1e-2,
    alpha: Positive = 0.5,
    beta: Positive = 0.5,
    channels: Count | None = None,
    form: Literal["hybrid", "heckel"] = "hybrid",
    adam: Literal["reset", "carried"] = "reset",
    clamp: bool = False,
    keep: Literal["best", "last"] = "last",
) -> Reconstruction:
    """H = alpha G(z) + beta DD(theta), (z, theta, alpha, beta) = argmin ||A H - y||^2, eq. (1), by Adam.

    Daniels, Hand, Heckel: Reducing the Representation Error of GAN Image Priors Using the Deep Decoder, 2020,
    Algorithm 1. z and theta start from n_pre = 500 steps of the GAN prior alone (`gan`) and of the Deep Decoder alone
    (`decoder`). Then n = 5000 steps optimise all four variables, from alpha = beta = 1/2. k is chosen as for the Deep
    Decoder alone, with dim z as its `beside`.

    The paper leaves open:
    - the scale on which images are added (ours: [0, 1]);
    - whether each image has its own alpha and beta (ours: yes, the paper calls them "scalars");
    - Adam's moments at the switch (`adam`: `reset`, since the variables of line 11 are new; `carried` keeps those of z
      and theta);
    - whether H is clipped to [0, 1] before it is measured (`clamp`: no);
    - which iterate is the result (`keep`: the last one, as in Algorithm 1).
    """
    _check_starts(gan, decoder)
    DD, u = decoder_of(problem, channels, math.prod(generator.latent_shape), form)
    start = {"z": gan.state["variables.z"], "theta": decoder.state["variables.theta"]}
    _check_fit(DD.weights(), start["theta"])
    start |= {"alpha": problem.y.new_full((len(problem),), alpha), "beta": problem.y.new_full((len(problem),), beta)}

    def parts(v: Variables) -> tuple[Tensor, Tensor]:
        return _times(v["alpha"], generator.image(v["z"])), _times(v["beta"], DD(v["theta"], u))

    def L(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        alpha_G, beta_DD = parts(variables)
        H = alpha_G + beta_DD
        H = H.clamp(0, 1) if clamp else H
        return problem.loss(H, step), {"x": H, **variables}

    carried = {"z": _moments(gan, "z"), "theta": _moments(decoder, "theta")} if adam == "carried" else {}
    found = minimise(L, start, steps=steps, lr=lr, keep=keep, carried=carried, watch=problem.watch, name="hybrid")
    with torch.no_grad():
        alpha_G, beta_DD = parts(found.kept)
    return Reconstruction(
        found.kept["x"],
        found.kept["z"],
        found.trace,
        found.status,
        parts={"gan": alpha_G, "decoder": beta_DD},
        numbers={"alpha": found.kept["alpha"], "beta": found.kept["beta"]},
        loss=found.loss,
    )


def _times(factor: Tensor, images: Tensor) -> Tensor:
    """[N] and [N, C, H, W] -> [N, C, H, W]"""
    return factor.view(-1, 1, 1, 1) * images


def _moments(begun: Reconstruction, name: str) -> Moments:
    return Moments(begun.state[f"exp_avg.{name}"], begun.state[f"exp_avg_sq.{name}"], begun.updates)


def _check_starts(gan: Reconstruction, decoder: Reconstruction) -> None:
    for need, begun, name in (("gan", gan, "z"), ("decoder", decoder, "theta")):
        if f"variables.{name}" not in begun.state:
            raise UserError(
                "method hybrid starts from a step of a GAN prior and a step of a Deep Decoder, "
                f"but `{need}` is not such a step; write `gan: csgm@500` and `decoder: deep-decoder@500`"
            )


def _check_fit(expected: Tensor, theta: Tensor) -> None:
    if theta.shape[1] != len(expected):
        raise UserError(
            f"method hybrid has a Deep Decoder of {len(expected)} parameters but starts from one "
            f"of {theta.shape[1]}; give both the same `form` and `channels`, or set the decoder's `beside` to the "
            "number of the generator's latents"
        )
