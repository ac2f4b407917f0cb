"""ILO: optimises the latent, then the features of one layer after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.generators.base import INPUT, Generator, State
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.geocross import check_vectors, geocross
from reprior.optimise.loop import Optimum, Variables, minimise
from reprior.optimise.projections import near_start, on_spheres
from reprior.optimise.rounds import joined, round_name
from reprior.optimise.schedules import ramp_and_cosine
from reprior.types import Count, NonNegative, Positive, Whole

KEEPS_FEATURES = True
"""Whether a result holds the features from which its images are made."""


def ilo(
    problem: Problem,
    generator: Generator,
    *,
    layers: list[str] | None = None,
    steps: Count = 50,
    shares: list[Positive] | None = None,
    lr: Positive = 0.1,
    noise_scales: Whole = 3,
    spheres: bool = True,
    radii: list[Positive] | None = None,
    range_share: NonNegative = 0.0,
    cross: NonNegative = 0.0,
    cross_rounds: Literal["all", "first"] = "all",
    rgb: Literal["kept", "dropped"] = "kept",
    carry: Literal["best", "last"] = "best",
    view: Literal["plain", "released"] = "plain",
    black: Literal["observed", "missing"] = "observed",
) -> Reconstruction:
    """z^k = argmin ||A G(z^k) - y||, then for each layer z^p = argmin ||A G2(z^p) - y|| from z^p = G1(z^k).

    Daras, Dean, Jalal, Dimakis: Intermediate Layer Optimization for Inverse Problems using Deep Generative Models, ICML
    2021, Algorithm 1. Each round takes `steps` evaluations of the loss, with a new Adam and a rate that rises to `lr`
    and falls to 0. It starts from the round before, at the next of `layers`; the first round optimises the latent.
    Noise maps of the next `noise_scales` scales are optimised with them. The image is the last round's best iterate.
    - `shares`: for each round its part of `steps`. None: all of them. The released code has 50, 50, 25, 25 by default.
    - `radii`: for each of `layers` the radius r2 of an l1 ball around its start in which z^p stays (line 4), divided by
      the root of n, the number of values of an image: by Theorem 1, r2 may grow as the root of the number of
      measurements. The paper lets r2 grow from layer to layer. None: no balls, as in the released code by default. When
      they are on, it has r2 = 1000, then 6000, for images of 3 x 1024 x 1024: 0.564, 3.38.
    - `range_share`: after each of these rounds but the last, z^k = argmin ||G1(z^k) - z^p|| by this part of `steps`,
      and z^p = G1(z^k) (lines 5 and 6). 0: none, as in the released code. The paper's r: how often a layer is named.

    The paper leaves open, and the released code decides:
    - `layers`: those of the first three scales. With an empty list it is the paper's CSGM: the first round alone;
    - `spheres`: each latent vector and noise map keeps its norm;
    - `cross`: the weight of the geodesic distance of the latent vectors, "typically" used. That code has 0.01, beside
      the mean squared error of images in [-1, 1]. `cross_rounds`: by a slip, that code has it in the first round only.
      Ours has it in each, for the vectors that still count;
    - `rgb`: that code drops what the scales before the layer add to StyleGAN2's image (`dropped`), so that the image
      changes at each start of a round. Ours keeps it;
    - `carry`: that code goes on from a round's last iterate. Ours goes on from its best one, whose image it also keeps;
    - `view`: that code looks at images of full size through a filter that shifts them by half a pixel (`released`);
    - `black`: in that code, pixels of the observation that are exactly black count as missing in every task.
    """
    names = _layers(generator, layers)
    rounds = _steps(steps, shares, len(names))
    seen = _seen(problem, view, black)
    balls = _radii(names, radii)
    if cross:
        check_vectors(generator.latent_shape, "method ilo: cross")
    inputs = features = problem.draw_inputs(generator)
    found: list[Optimum] = []
    for number, layer in enumerate(names):
        last = number == len(names) - 1
        start = {name: features[name] for name in generator.free(layer, noise_scales)}
        fixed = {name: value for name, value in features.items() if name not in start}
        if rgb == "dropped":
            fixed.pop("rgb", None)
        used = cross if number == 0 or cross_rounds == "all" else 0.0
        best = minimise(
            _objective(problem, generator, fixed, layer, used, sum(rounds[:number]), seen),
            start,
            steps=rounds[number],
            lr=lr,
            keep="best" if last else carry,
            schedule=ramp_and_cosine,
            project=_projection(start, spheres, balls[number], math.prod(generator.image_shape)),
            watch=problem.watch,
            name=round_name("ilo", number, len(names)),
        )
        found.append(best)
        features = fixed | {name: best.kept[name] for name in start}
        if layer == INPUT:
            inputs = features
        elif range_share and not last:
            name = f"{round_name('ilo', number, len(names))}, to the range"
            z_steps = max(1, round(steps * range_share))
            inputs |= {"z": _preimage(problem, generator, inputs, features["h"], layer, z_steps, lr, name)}
            features |= {"h": generator.features_from(inputs, INPUT, layer)["h"]}
        if not last and names[number + 1] != layer:
            features = generator.features_from(features, layer, names[number + 1])
    whole = joined(found)
    return Reconstruction(
        whole.kept["x"],
        inputs["z"],
        whole.trace,
        whole.status,
        loss=whole.loss,
        features={f"{names[-1]}.{name}": value for name, value in features.items()},
    )


def _layers(generator: Generator, layers: list[str] | None) -> list[str]:
    """The layer of each round: first the input, then `layers`, in the generator's order."""
    known = generator.layer_names
    if layers is None:
        layers = [name for name in known if name.isdigit()][:3]
    places = [known.index(name) if name in known else -1 for name in layers]
    if -1 in places or places != sorted(places):
        raise UserError(
            f"method ilo: layers: {', '.join(layers)}: name layers of the generator, from coarse to fine; "
            f"it has {', '.join(known) or 'none'}"
        )
    return [INPUT, *layers]


def _radii(names: list[str], radii: list[float] | None) -> list[float | None]:
    """The radius of each round; the first round has no ball."""
    if radii is None:
        return [None] * len(names)
    if len(radii) != len(names) - 1:
        raise UserError(f"method ilo: radii: {len(radii)} radii for {len(names) - 1} layers; name one for each layer")
    return [None, *radii]


def _steps(steps: int, shares: list[float] | None, rounds: int) -> list[int]:
    """The steps of each round."""
    if shares is not None and len(shares) != rounds:
        raise UserError(f"method ilo: shares: {len(shares)} shares for {rounds} rounds; name one for each round")
    return [max(1, round(steps * share)) for share in shares or [1.0] * rounds]


def _seen(problem: Problem, view: str, black: str) -> Callable[[Tensor], Tensor]:
    """What the loss sees of an image [N, C, H, W]: the image itself, or what it is in the released code."""
    picture = problem.operator.picture(problem.y)
    whole = picture is not None and picture.shape[1:] == problem.operator.image_shape
    kernel = _released_kernel(problem.y, problem.operator.image_shape[0]) if view == "released" and whole else None
    missing = (picture == 0).all(1, keepdim=True) if black == "missing" and whole and picture is not None else None

    def see(x: Tensor) -> Tensor:
        if kernel is not None:
            padded = functional.pad(x, (1, 2, 1, 2), mode="reflect")
            x = functional.conv2d(padded, kernel, groups=len(kernel))
        return x if missing is None else x.masked_fill(missing, 0.0)

    return see


def _released_kernel(like: Tensor, channels: int) -> Tensor:
    """The cubic kernel of a "reduction by 1", between two pixels: -1/16, 9/16, 9/16, -1/16 along each axis."""
    taps = like.new_tensor([-0.0625, 0.5625, 0.5625, -0.0625])
    return torch.outer(taps, taps).expand(channels, 1, 4, 4)


def _objective(
    problem: Problem,
    generator: Generator,
    fixed: State,
    layer: str,
    cross: float,
    before: int,
    seen: Callable[[Tensor], Tensor],
) -> Callable[[Variables, Tensor], tuple[Tensor, Mapping[str, Tensor]]]:
    """||A G2(z^p) - y||^2, or the study's loss, and the penalty on the latent vectors that later layers see.

    `before` is the number of steps in earlier rounds.
    """
    unused = generator.styles_before(layer)

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = generator.image_from({**fixed, **variables}, layer)
        loss = problem.loss(seen(x), before + step)
        if cross:
            loss = loss + cross * geocross(variables["z"][:, unused:])
        return loss, {"x": x, **variables}

    return f


def _preimage(
    problem: Problem, generator: Generator, inputs: State, target: Tensor, layer: str, steps: int, lr: float, name: str
) -> Tensor:
    """z^k = argmin ||G1(z^k) - z^p||, from the z^k before: [N, ...]."""

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        h = generator.features_from({**inputs, **variables}, INPUT, layer)["h"]
        return (h - target).square().flatten(1).sum(1), variables

    start = {"z": inputs["z"]}
    return minimise(f, start, steps=steps, lr=lr, schedule=ramp_and_cosine, watch=problem.watch, name=name).kept["z"]


def _projection(start: State, spheres: bool, radius: float | None, n: int) -> Callable[[Variables], None]:
    """Latent vectors and noise maps onto their spheres, then h into its l1 ball."""
    axes = {name: 2 if name in ("z", "w") and value.ndim == 3 else 1 for name, value in start.items() if name != "h"}
    to_spheres = on_spheres(start, axes if spheres else {})
    to_ball = near_start(start, {"h": radius * math.sqrt(n)} if radius and "h" in start else {})

    def project(variables: Variables) -> None:
        to_spheres(variables)
        to_ball(variables)

    return project
