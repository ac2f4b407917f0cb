"""The Deep Decoder: a small untrained network, fitted to one observation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprior.methods.base import Problem, Reconstruction
from reprior.networks import deep_decoder as network
from reprior.networks.initial import draw_convolutions
from reprior.optimise.loop import Variables, minimise
from reprior.optimise.per_image import PerImage
from reprior.types import Count, Positive, Whole


def deep_decoder(
    problem: Problem,
    *,
    steps: Count = 5500,
    lr: Positive = 1e-2,
    channels: Count | None = None,
    beside: Whole = 0,
    form: Literal["hybrid", "heckel"] = "hybrid",
    keep: Literal["best", "last"] = "last",
) -> Reconstruction:
    """x = DD(theta), theta = argmin ||A DD(theta) - y||^2, eq. (1), by Adam from random weights.

    Heckel, Hand: Deep Decoder, ICLR 2019, as Daniels, Hand, Heckel (2020) compare it with their hybrid. The defaults
    are their settings. By default, k (`channels` of each layer) is the largest with |theta| < m: fewer parameters than
    measurements.

    The paper leaves open:
    - whether dim z of the hybrid's GAN counts, too (`beside`: 64 and 100 give the counts of its Fig. 7, with the same k
      for the decoder alone);
    - the layers (`form`: `hybrid` is known from those counts; `heckel` is the original);
    - the network's input (ours: one fixed draw per image) and first weights (PyTorch's);
    - which iterate is the result (`keep`: the last one, as in Algorithm 1; the original keeps the best).
    """
    DD, u = decoder(problem, channels, beside, form)

    def L_DD(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = DD(variables["theta"], u)
        return problem.loss(x, step), {"x": x}

    def drawn(rng: torch.Generator) -> Tensor:
        draw_convolutions(DD.network, rng)
        return DD.weights()

    start = {"theta": problem.draw("decoder weights", drawn)}
    found = minimise(L_DD, start, steps=steps, lr=lr, keep=keep, watch=problem.watch, name="deep-decoder")
    return Reconstruction(found.kept["x"], trace=found.trace, status=found.status, loss=found.loss)


def decoder(
    problem: Problem, channels: int | None, beside: int, form: Literal["hybrid", "heckel"]
) -> tuple[PerImage, Tensor]:
    """DD and its fixed inputs u [N, k, H/16, W/16]. Every method gets the same u for an image and k."""
    image_shape = problem.operator.image_shape
    k = channels or network.largest_below(problem.y[0].numel(), beside, form, image_shape[0])
    net = network.DeepDecoder(k, image_shape, form)
    u = problem.draw("decoder input", net.draw_input)
    return PerImage(net.to(u)), u
