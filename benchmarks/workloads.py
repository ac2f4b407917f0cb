"""Every optimisation method at several sizes, with random weights: our way and the plain way.

The plain way is that of much public code: one image at a time, gradients for all weights of a generator, default memory
format, `torch.optim.Adam` with its defaults, and the loss read in each step. In StyleGAN2, the weights of each image
are one group of a convolution, and filters see one channel at a time. (On a GPU, public code has a compiled filter.)

Both ways start alike and take the same steps; only Deep Image Prior draws other noise. Nothing is downloaded.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from reprior.generators.base import INPUT, Generator, State
from reprior.generators.stylegan2 import StyleGAN2
from reprior.generators.stylegan2_layouts import noise_name
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.methods.csgm import csgm
from reprior.methods.deep_decoder import decoder as decoder_of
from reprior.methods.deep_decoder import deep_decoder
from reprior.methods.dip import dip
from reprior.methods.hybrid import hybrid
from reprior.methods.iagan import iagan
from reprior.methods.ilo import ilo
from reprior.methods.npgd import npgd
from reprior.methods.pgd_gan import pgd_gan
from reprior.methods.plug_and_play import plug_and_play
from reprior.methods.pulse import pulse
from reprior.networks.deep_decoder import largest_below
from reprior.networks.initial import draw_convolutions
from reprior.networks.stylegan2 import Modulated, StyledConv, ToRGB, width
from reprior.networks.trained import built, frozen
from reprior.operators.base import Operator
from reprior.operators.bicubic import Bicubic
from reprior.operators.gaussian import Gaussian
from reprior.optimise.geocross import geocross
from reprior.optimise.projections import on_spheres
from reprior.optimise.schedules import ramp_and_cosine, up_down_and_drop
from reprior.types import Precision

LAYERS = ["4", "8", "16"]
"""ILO's, after the latent."""
BATCH = {64: 8, 128: 4, 256: 2, 1024: 1}
"""Images in a batch, by their size."""


@dataclass(frozen=True)
class Round:
    """One optimisation of one image in the plain way; ILO has several."""

    loss: Callable[[int], Tensor]
    """The loss of a step: []. If nothing is optimised, it also does the step."""
    rates: tuple[tuple[Sequence[Tensor], float], ...] = ()
    """What is optimised, and its learning rates."""
    fixed: tuple[Tensor, ...] = ()
    """Weights and matrices that are read but not optimised."""
    schedule: Callable[[int, int], float] | None = None
    """(step, steps) -> factor on the learning rates."""
    project: Callable[[], None] | None = None
    """What follows each update."""

    @property
    def variables(self) -> list[Tensor]:
        """What is optimised."""
        return [variable for group, _ in self.rates for variable in group]


@dataclass(frozen=True)
class Ready:
    """A workload on a device."""

    ours: Callable[[int], Reconstruction]
    """So many steps of each round on all images: evaluations of the loss, with one update between each."""
    plain: Callable[[int], list[list[float]]]
    """The same steps in the plain way; returns the losses of each image."""
    rounds: Callable[[], Iterator[Round]]
    """The plain way for the first image, to count what a step takes."""


@dataclass(frozen=True)
class Workload:
    """One method on images of one size."""

    method: str
    size: int
    network: str
    """For people."""
    images: int
    """In a batch."""
    specs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, hash=False)
    """Its trained networks: a generator or none, and others."""
    operator: str = "bicubic"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.method}, {self.size} pixels"

    @property
    def rounds(self) -> int:
        """How many optimisations follow each other. `Ready` takes the number of steps of each."""
        return 1 + len(LAYERS) if self.method == "ilo" else 1

    def ready(self, device: torch.device | str, images: int, precision: Precision = "float32") -> Ready:
        """The workload for a batch of so many images. The plain way is in float32."""
        networks = [random_network(spec, device) for spec in self.specs]
        problem = random_problem(self.operator, self.size, device, images, precision)
        return _FORMS[self.method](problem, *networks)


def selected(methods: Collection[str] = (), sizes: Collection[int] = ()) -> tuple[Workload, ...]:
    """The workloads of these methods and sizes; of all if none is named."""
    known = {workload.method for workload in WORKLOADS}
    if unknown := set(methods) - known:
        raise ValueError(f"no such methods: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return tuple(
        each for each in WORKLOADS if (not methods or each.method in methods) and (not sizes or each.size in sizes)
    )


def descend(rounds: Iterator[Round], steps: int) -> list[float]:
    """So many steps of each round in the plain way; returns the losses."""
    losses = []
    for each in rounds:
        adam = torch.optim.Adam([{"params": group, "lr": lr} for group, lr in each.rates]) if each.rates else None
        for step in range(steps):
            loss = each.loss(step)
            losses.append(loss.item())
            if adam is None or step + 1 == steps:  # ours, too, has one update between each two steps
                continue
            for group, (_, lr) in zip(adam.param_groups, each.rates, strict=True):
                group["lr"] = lr * each.schedule(step, steps) if each.schedule else lr
            adam.zero_grad()
            loss.backward()
            adam.step()
            if each.project:
                with torch.no_grad():
                    each.project()
    return losses


def random_network(spec: Mapping[str, Any], device: torch.device | str) -> nn.Module:
    """A network with random weights, not frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = built("network" if spec["name"].endswith(("inverse", "denoiser")) else "generator", spec)
    if isinstance(network, StyleGAN2):
        network.draw_weights(torch.Generator().manual_seed(0))
        for conv in network.convs:
            nn.init.constant_(cast(StyledConv, conv).strength, 0.1)
    return network.eval().to(device)


def random_problem(
    operator: str, size: int, device: torch.device | str, images: int, precision: Precision = "float32"
) -> Problem:
    """Measurements of random images: super-resolution by 4, or a Gaussian matrix of m/n = 0.1."""
    shape, rng = (3, size, size), torch.Generator().manual_seed(0)
    A: Operator = Bicubic(shape, rng, scale=4) if operator == "bicubic" else Gaussian(shape, rng, ratio=0.1)
    A.to(device, torch.float32)
    truth = torch.rand(images, *shape, generator=torch.Generator().manual_seed(1)).to(device)
    ids = tuple(str(number) for number in range(images))
    return Problem(A.A(truth), A, "bench", "bench", ids, precision=precision)


def _ready(
    problem: Problem, ours: Callable[[int], Reconstruction], rounds: Callable[[Problem], Iterator[Round]]
) -> Ready:
    ones = [problem[row : row + 1] for row in range(len(problem))]
    return Ready(ours, lambda steps: [descend(rounds(one), steps) for one in ones], lambda: rounds(ones[0]))


def _fast(network: nn.Module, problem: Problem) -> Any:
    """A copy as jobs use it."""
    return frozen(copy.deepcopy(network), problem.y.device, precision=problem.precision)


def _read(problem: Problem, *networks: nn.Module) -> tuple[Tensor, ...]:
    """Weights, and a matrix A."""
    weights = [parameter for network in networks for parameter in network.parameters()]
    return (*weights, *([problem.operator.rows] if isinstance(problem.operator, Gaussian) else []))


def _free(value: Tensor) -> Tensor:
    return value.detach().clone().requires_grad_()


def _started(problem: Problem, generator: Generator) -> Reconstruction:
    """A start of which a method reads only the latents."""
    z = problem.draw("start", generator.draw_latent)
    return Reconstruction(z, z, status=("ok",) * len(problem), state={"variables.z": z})


# One function per method.


def _csgm(problem: Problem, generator: Generator) -> Ready:
    fast = _fast(generator, problem)

    def rounds(one: Problem) -> Iterator[Round]:
        z = _free(one.draw("start", generator.draw_latent))
        yield Round(lambda step: one.residual(generator.image(z)).sum(), (([z], 0.1),), _read(one, generator))

    return _ready(problem, lambda steps: solve(csgm, problem, fast, steps=steps), rounds)


def _iagan(problem: Problem, generator: Generator, lr_z: float = 1e-4) -> Ready:
    fast = _fast(generator, problem)

    def rounds(one: Problem) -> Iterator[Round]:
        z, mine = _free(one.draw("start", generator.draw_latent)), copy.deepcopy(generator)
        rates = (([z], lr_z), (list(mine.parameters()), 1e-4))
        yield Round(lambda step: one.residual(mine.image(z)).sum(), rates, _read(one))

    def ours(steps: int) -> Reconstruction:
        return solve(iagan, problem, fast, _started(problem, generator), steps=steps, lr_z=lr_z)

    return _ready(problem, ours, rounds)


def _deep_decoder(problem: Problem, beside: int = 0) -> Ready:
    def rounds(one: Problem) -> Iterator[Round]:
        decoder, u = _plain_decoder(one, beside)
        rates = ((list(decoder.parameters()), 0.01),)
        yield Round(lambda step: one.residual(decoder(u)).sum(), rates, _read(one))

    return _ready(problem, lambda steps: solve(deep_decoder, problem, steps=steps, beside=beside), rounds)


def _hybrid(problem: Problem, generator: Generator) -> Ready:
    fast, latents = _fast(generator, problem), math.prod(generator.latent_shape)

    def rounds(one: Problem) -> Iterator[Round]:
        decoder, u = _plain_decoder(one, latents)
        z = _free(one.draw("start", generator.draw_latent))
        alpha, beta = (_free(one.y.new_tensor(0.5)) for _ in range(2))

        def loss(step: int) -> Tensor:
            return one.residual(alpha * generator.image(z) + beta * decoder(u)).sum()

        rates = (([*decoder.parameters(), z, alpha, beta], 0.01),)
        yield Round(loss, rates, _read(one, generator))

    def ours(steps: int) -> Reconstruction:
        starts = _started(problem, generator), _started_decoder(problem, latents)
        return solve(hybrid, problem, fast, *starts, steps=steps)

    return _ready(problem, ours, rounds)


def _started_decoder(problem: Problem, beside: int) -> Reconstruction:
    DD, _ = decoder_of(problem, None, beside, "hybrid")

    def drawn(rng: torch.Generator) -> Tensor:
        draw_convolutions(DD.network, rng)
        return DD.weights()

    theta = problem.draw("decoder weights", drawn)
    return Reconstruction(theta, status=("ok",) * len(problem), state={"variables.theta": theta})


def _plain_decoder(one: Problem, beside: int) -> tuple[nn.Module, Tensor]:
    """The Deep Decoder built from PyTorch's layers, and its input [1, k, H/16, W/16]."""
    k = largest_below(one.y[0].numel(), beside)
    up = partial(nn.Upsample, scale_factor=2, mode="bilinear", align_corners=True)
    layer: list[Callable[[], nn.Module]] = [partial(nn.Conv2d, k, k, 1), partial(nn.BatchNorm2d, k), up, nn.ReLU]
    network = nn.Sequential(*(make() for _ in range(4) for make in layer), nn.Conv2d(k, 3, 1), nn.Sigmoid())
    shape = (k, *(side // 16 for side in one.operator.image_shape[1:]))
    u = one.draw("decoder input", lambda rng: torch.randn(shape, generator=rng))
    return _drawn(network, one, "decoder weights"), u


def _drawn(network: nn.Module, one: Problem, role: str) -> nn.Module:
    """The network with the first weights that the method draws for this image."""

    def drawn(rng: torch.Generator) -> Tensor:
        draw_convolutions(network, rng)
        return parameters_to_vector(network.parameters()).detach()

    theta = one.draw(role, drawn)[0]
    network.to(theta.device)
    vector_to_parameters(theta, network.parameters())
    return network


def _dip(problem: Problem) -> Ready:
    def rounds(one: Problem) -> Iterator[Round]:
        network = _drawn(PlainSkip(), one, "weights")
        shape = (32, *one.operator.image_shape[1:])
        u = one.draw("input", lambda rng: torch.rand(shape, generator=rng)) / 10
        rng = None if u.is_meta else torch.Generator(u.device).manual_seed(0)

        def loss(step: int) -> Tensor:
            n = torch.empty_like(u).normal_(generator=rng)
            return one.residual(network(u + 0.03 * n)).sum() / one.y.numel()

        yield Round(loss, ((list(network.parameters()), 0.01),), _read(one))

    return _ready(problem, lambda steps: solve(dip, problem, steps=steps), rounds)


class PlainSkip(nn.Module):
    """Deep Image Prior's network built from PyTorch's layers, for sides that are powers of two."""

    def __init__(self, depth: int = 32, channels: int = 128, skip: int = 4, scales: int = 5) -> None:
        super().__init__()
        self.outermost = _PlainScale(depth, channels, skip, scales)
        self.out = nn.Conv2d(channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[1, depth, H, W] -> [1, 3, H, W]"""
        return torch.sigmoid(self.out(self.outermost(x)))


class _PlainScale(nn.Module):
    def __init__(self, depth: int, channels: int, skip: int, scales: int) -> None:
        super().__init__()
        self.skip = _plain_layer(depth, skip, 1)
        self.down = nn.Sequential(_plain_layer(depth, channels, 3, 2), _plain_layer(channels, channels, 3))
        self.deeper = _PlainScale(channels, channels, skip, scales - 1) if scales > 1 else nn.Identity()
        self.doubled = nn.Upsample(scale_factor=2, mode="bilinear")
        self.norm = nn.BatchNorm2d(skip + channels)
        self.up = nn.Sequential(_plain_layer(skip + channels, channels, 3), _plain_layer(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        deep = self.doubled(self.deeper(self.down(x)))
        return cast(Tensor, self.up(self.norm(torch.cat([self.skip(x), deep], 1))))


def _plain_layer(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    padding = kernel // 2
    conv = nn.Conv2d(before, after, kernel, stride, padding, padding_mode="reflect" if padding else "zeros")
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.LeakyReLU(0.2))


def _npgd(problem: Problem, generator: Generator, projector: nn.Module) -> Ready:
    fast = [_fast(network, problem) for network in (generator, projector)]
    rounds = _projected(lambda w: generator.image(projector(w)), generator, projector)
    return _ready(problem, lambda steps: solve(npgd, problem, *fast, steps=steps), rounds)


def _plug_and_play(problem: Problem, denoiser: nn.Module) -> Ready:
    fast, rounds = _fast(denoiser, problem), _projected(denoiser, denoiser)
    return _ready(problem, lambda steps: solve(plug_and_play, problem, fast, steps=steps, lr=1.0), rounds)


def _projected(P: Callable[[Tensor], Tensor], *networks: nn.Module) -> Callable[[Problem], Iterator[Round]]:
    """Projected gradient descent in the plain way."""

    def rounds(one: Problem) -> Iterator[Round]:
        A, A_adjoint = one.operator.A, one.operator.A_adjoint
        x = one.inverted(A_adjoint, centred=True)

        @torch.no_grad()
        def loss(step: int) -> Tensor:
            nonlocal x
            x = P(x - A_adjoint(A(x) - one.y))
            return one.residual(x).sum()

        yield Round(loss, fixed=_read(one, *networks))

    return rounds


def _pgd_gan(problem: Problem, generator: Generator) -> Ready:
    """One projection: its steps are those of the optimisation inside."""
    fast = _fast(generator, problem)

    def rounds(one: Problem) -> Iterator[Round]:
        A, A_adjoint = one.operator.A, one.operator.A_adjoint
        x = one.y.new_full((1, *one.operator.image_shape), 0.5)
        w = x + 0.5 * A_adjoint(one.y - A(x))
        z = _free(one.draw("start", generator.draw_latent))

        def loss(step: int) -> Tensor:
            return 4 * (generator.image(z) - w).square().mean() + 0.001 * z.square().sum()

        yield Round(loss, (([z], 0.1),), _read(one, generator))

    # It evaluates the generator once more than its `steps`.
    return _ready(problem, lambda steps: solve(pgd_gan, problem, fast, rounds=1, steps=steps - 1), rounds)


def _pulse(problem: Problem, generator: StyleGAN2) -> Ready:
    fast = _fast(generator, problem)

    def rounds(one: Problem) -> Iterator[Round]:
        inputs = one.draw_inputs(generator)
        free = {name: _free(inputs[name]) for name in generator.free(INPUT, 3)}

        def loss(step: int) -> Tensor:
            mse = one.residual(plain_image(generator, {**inputs, **free}, INPUT)) / one.y.numel()
            return (100 * mse.clamp_min(2e-3) + 0.05 * geocross(generator.styles_of(free["z"]))).sum()

        yield _styled(one, generator, free, loss, 0.4, up_down_and_drop)

    return _ready(problem, lambda steps: solve(pulse, problem, fast, steps=steps), rounds)


def _ilo(problem: Problem, generator: StyleGAN2) -> Ready:
    fast, names = _fast(generator, problem), [INPUT, *LAYERS]

    def rounds(one: Problem) -> Iterator[Round]:
        features: State = one.draw_inputs(generator)
        for number, layer in enumerate(names):
            if number:
                with torch.no_grad():
                    features = generator.features_from(features, names[number - 1], layer)
            free = {name: _free(features[name]) for name in generator.free(layer, 3)}
            features |= free
            loss = partial(_fit, one, generator, features, layer)
            yield _styled(one, generator, free, loss, 0.1, ramp_and_cosine)

    # The plain way, too, goes on from the last iterate of a round.
    return _ready(problem, lambda steps: solve(ilo, problem, fast, layers=LAYERS, steps=steps, carry="last"), rounds)


def _fit(one: Problem, generator: StyleGAN2, features: State, layer: str, step: int) -> Tensor:
    return one.residual(plain_image(generator, features, layer)).sum()


def _styled(
    one: Problem,
    generator: StyleGAN2,
    free: State,
    loss: Callable[[int], Tensor],
    lr: float,
    schedule: Callable[[int, int], float],
) -> Round:
    """A round in which latent vectors and noise maps stay on their spheres."""
    project = on_spheres(free, {name: 2 if name == "z" else 1 for name in free if name != "h"})
    fixed = [weight for name, weight in generator.named_parameters() if not name.startswith("mapping.")]
    return Round(loss, ((list(free.values()), lr),), (*fixed, *_read(one)), schedule, lambda: project(free))


def plain_image(generator: StyleGAN2, state: State, layer: str) -> Tensor:
    """Images [N, C, H, W] in [0, 1] of the features of a layer, in the plain way."""
    w, h, image = generator.styles_of(state["z"]), state.get("h"), state.get("rgb")
    for scale in range(0 if layer == INPUT else generator.sides.index(int(layer)) + 1, len(generator.sides)):
        if h is None:
            h = generator.constant.repeat(len(w), 1, 1, 1)
        for number in range(max(0, 2 * scale - 1), 2 * scale + 1):
            conv = cast(StyledConv, generator.convs[number])
            h = _plain_convolution(h, w[:, number], conv.conv, demodulate=True)
            h = h + conv.strength * state[noise_name(number)]
            h = functional.leaky_relu(h + conv.bias[:, None, None], 0.2) * math.sqrt(2)
        rgb = cast(ToRGB, generator.rgbs[scale])
        colours = _plain_convolution(h, w[:, 2 * scale + 1], rgb.conv, demodulate=False) + rgb.bias[:, None, None]
        image = colours if image is None else colours + _plain_filter(image, up=2, before=2, after=1)
    assert image is not None
    return (image + 1) / 2


def _plain_convolution(x: Tensor, w: Tensor, layer: Modulated, *, demodulate: bool) -> Tensor:
    """The weights of each image as a group of one convolution.

    If the weights are frozen, to count the operations that are needed, the input of one image is scaled instead. With
    scaled weights, the gradient of the style would be made from that of all weights.
    """
    style = functional.linear(w, layer.style.weight * layer.style.scale, layer.style.bias + 1)
    if not layer.weight.requires_grad:
        return _with_scaled_input(x, style * layer.scale, layer, demodulate)
    weight = layer.weight * layer.scale * style[:, None, :, None, None]  # [N, after, before, k, k]
    if demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    n, before, height, width = x.shape
    x = x.reshape(1, n * before, height, width)
    if not layer.up:
        x = functional.conv2d(x, weight.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
        return x.unflatten(1, (n, -1))[0]
    x = functional.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    return _plain_filter(x.unflatten(1, (n, -1))[0], up=1, before=1, after=1)


def _with_scaled_input(x: Tensor, style: Tensor, layer: Modulated, demodulate: bool) -> Tensor:
    x = x * style[:, :, None, None]
    if layer.up:
        x = functional.conv_transpose2d(x, layer.weight.transpose(0, 1), stride=2)
        x = _plain_filter(x, up=1, before=1, after=1)
    else:
        x = functional.conv2d(x, layer.weight, padding=layer.weight.shape[-1] // 2)
    squares = layer.weight.square().sum((2, 3))  # [after, before]
    factor = torch.rsqrt((squares * style.square()[:, None]).sum(2) + 1e-8) if demodulate else style.new_ones(1, 1)
    return x * factor[:, :, None, None]


def _plain_filter(x: Tensor, *, up: int, before: int, after: int) -> Tensor:
    """Zeros between the pixels and around them, then the filter (1, 3, 3, 1) along both sides with a gain of 4."""
    n, channels, height, width = x.shape
    spread = x.new_zeros(n * channels, 1, height, up, width, up)
    spread[:, :, :, 0, :, 0] = x.flatten(0, 1)[:, None]
    padded = functional.pad(spread.flatten(4, 5).flatten(2, 3), (before, after, before, after))
    row = x.new_tensor([0.25, 0.75, 0.75, 0.25])
    return functional.conv2d(padded, torch.outer(row, row)[None, None]).unflatten(0, (n, channels))[:, :, 0]


_FORMS: Mapping[str, Callable[..., Ready]] = {
    "dip": _dip,
    "csgm": _csgm,
    "iagan": _iagan,
    "deep-decoder": _deep_decoder,
    "hybrid": _hybrid,
    "gan-as-dip": partial(_iagan, lr_z=1e-2),
    "pgd-gan": _pgd_gan,
    "npgd": _npgd,
    "plug-and-play": _plug_and_play,
    "pulse": _pulse,
    "ilo": _ilo,
}


def _workloads() -> Iterator[Workload]:
    began = {size: {"name": "began", "size": size, "channels": size, "output": "tanh"} for size in (64, 128)}
    pggan = {size: {"name": "pggan", "size": size} for size in (256, 1024)}
    named = {size: f"BEGAN, {size} channels" for size in began}
    named |= {size: f"PGGAN, 512 to {16384 // size} channels" for size in pggan}
    trained = {size: (spec,) for size, spec in (began | pggan).items()}
    styled = {size: {"name": "stylegan2", "size": size, "styles": "gaussian"} for size in BATCH}
    styled[64] |= {"channels": 2, "widest": 128, "latent": 128}
    of_hybrid: dict[int, tuple[str, Mapping[str, Any]]] = {
        64: ("DCGAN, 64 channels", {"name": "dcgan", "latent_std": 0.1}),
        128: ("BEGAN with skips, 128 channels", {"name": "began-skip"}),
    }
    of_npgd = {"name": "npgd-celeba"}, {"name": "npgd-celeba-inverse"}
    denoiser = {"name": "denoiser", "channels": 64, "colours": 3}
    for size, images in BATCH.items():
        yield Workload("dip", size, "encoder-decoder, 128 channels", images)
        for method in ("csgm", "iagan"):
            yield Workload(method, size, named[size], images, trained[size])
        # A Gaussian matrix of 256 pixels does not fit the memory.
        operator, m = ("gaussian", round(0.3 * size**2)) if size in of_hybrid else ("bicubic", 3 * size**2 // 16)
        yield Workload("deep-decoder", size, f"{largest_below(m, 0)} channels", images, operator=operator)
        if size in of_hybrid:
            for method in ("hybrid", "gan-as-dip"):
                yield Workload(method, size, of_hybrid[size][0], images, (of_hybrid[size][1],), "gaussian")
        if size == 64:
            yield Workload("pgd-gan", size, "NPGD's, 128 channels", images, of_npgd[:1])
            yield Workload("npgd", size, "NPGD's, 128 channels", images, of_npgd)
        yield Workload("plug-and-play", size, "denoiser, 7 layers, 64 channels", images, (denoiser,))
        for method in ("pulse", "ilo"):
            yield Workload(method, size, f"StyleGAN2, {_widths(styled[size])} channels", images, (styled[size],))


def _widths(spec: Mapping[str, Any]) -> str:
    """From coarse to fine."""
    coarse, fine = (width(side, spec.get("channels", 32), spec.get("widest", 512)) for side in (4, spec["size"]))
    return f"{coarse} to {fine}"


WORKLOADS = tuple(_workloads())
