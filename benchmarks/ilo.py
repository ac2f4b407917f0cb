"""Speed of ILO on StyleGAN2 on this machine, compared with a plain loop in the manner of public code; and its memory.

    python benchmarks/ilo.py
    python benchmarks/ilo.py --channels 2 --widest 128 --latent 128
    python benchmarks/ilo.py --memory

The plain way: one image at a time, the weights of each image as one group of a convolution, filters that see one
channel at a time, gradients for all weights, `torch.optim.Adam`, and the loss read in each step. (On a GPU, public code
has a compiled filter, which the plain way here has not.) Every number is the median of interleaved repeats in one run,
so that other load on the machine affects all of them. OMP_NUM_THREADS sets the number of threads. Weights are random.
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from bench import MATRIX, measured
from reprior.generators.base import INPUT, State, build_generator
from reprior.generators.stylegan2 import StyleGAN2
from reprior.generators.stylegan2_layouts import noise_name
from reprior.losses.lpips import SOURCES
from reprior.machine.facts import peak_memory_mib
from reprior.machine.memory import keep_freed_memory
from reprior.methods.base import Problem
from reprior.methods.ilo import ilo
from reprior.networks.lpips import LAYERS as LPIPS_LAYERS
from reprior.networks.stylegan2 import Modulated, StyledConv, ToRGB
from reprior.networks.trained import frozen
from reprior.operators.inpaint import Inpaint
from reprior.optimise.projections import on_spheres
from reprior.optimise.schedules import ramp_and_cosine

LAYERS = ["4", "8", "16"]
ROUNDS = [INPUT, *LAYERS]
VGG_WIDTHS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=1, help="at 1024 pixels; the demo has 1")
    parser.add_argument("--widest", type=int, default=64, help="most channels; the demo has 64")
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--images", type=int, default=8, help="in a batch")
    parser.add_argument("--steps", type=int, default=6, help="of each of the four rounds, in one repeat")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true", help="of one image at 1024 pixels, instead of the speed")
    options = parser.parse_args()
    keep_freed_memory()  # as jobs do
    if options.memory:
        report_memory(options.device)
        return
    generator = random_generator(options.size, options.channels, options.widest, options.latent).to(options.device)
    problem = make_problem(generator, options.images, options.device)
    seconds = measured(jobs(problem, generator, options.steps), options.repeats, options.device)
    report(generator, seconds, options.images, options.steps)


def random_generator(size: int = 1024, channels: int = 32, widest: int = 512, latent: int = 512) -> StyleGAN2:
    """A StyleGAN2 with initial weights, and noise of some strength."""
    spec = {"name": "stylegan2", "size": size, "channels": channels, "widest": widest, "latent": latent}
    generator = cast(StyleGAN2, build_generator({**spec, "styles": "gaussian"}))
    generator.draw_weights(torch.Generator().manual_seed(0))
    for conv in generator.convs:
        torch.nn.init.constant_(cast(StyledConv, conv).strength, 0.1)
    return generator


def make_problem(generator: StyleGAN2, images: int, device: str) -> Problem:
    """Random images with the eyes hidden."""
    shape = generator.image_shape
    operator = Inpaint(shape, torch.Generator(), kind="part", rows=[0.36, 0.56], columns=[0.15, 0.85])
    operator = operator.to(device, torch.float32)
    truth = torch.rand(images, *shape, generator=torch.Generator().manual_seed(0))
    return Problem(operator.A(truth.to(device)), operator, "bench", "bench", tuple(str(i) for i in range(images)))


def jobs(problem: Problem, generator: StyleGAN2, steps: int) -> dict[str, Callable[[], object]]:
    """The functions to time, by name. Each but the first does `steps` steps of each round for all images."""
    ready = cast(StyleGAN2, frozen(copy.deepcopy(generator), problem.y.device))
    inputs = problem.draw_inputs(ready)
    both = (plain_image(generator, inputs, INPUT), ready.image_from(inputs, INPUT))
    torch.testing.assert_close(*both, rtol=1e-3, atol=1e-3)  # the plain way is the same method
    matrix = torch.rand(MATRIX, MATRIX, device=problem.y.device)
    rows = [slice(i, i + 1) for i in range(len(problem))]
    return {
        "matrix": lambda: matrix @ matrix,
        "plain": lambda: [plain_ilo(problem[row], generator, steps) for row in rows],
        "alone": lambda: [ilo(problem[row], ready, layers=LAYERS, steps=steps) for row in rows],
        "ours": lambda: ilo(problem, ready, layers=LAYERS, steps=steps),
    }


def plain_ilo(problem: Problem, generator: StyleGAN2, steps: int) -> list[float]:
    """ILO of one image in the plain way; returns the losses."""
    losses: list[float] = []
    features: State = problem.draw_inputs(generator)
    for number, layer in enumerate(ROUNDS):
        if number:
            with torch.no_grad():
                features = generator.features_from(features, ROUNDS[number - 1], layer)
        free = {name: features[name].detach().clone().requires_grad_() for name in generator.free(layer, 3)}
        features |= free
        project = on_spheres(free, {name: 2 if name == "z" else 1 for name in free if name != "h"})
        adam = torch.optim.Adam(free.values(), lr=0.1)
        for step in range(steps):
            loss = problem.residual(plain_image(generator, features, layer)).sum()
            losses.append(loss.item())
            if step + 1 == steps:  # ours, too, has one update between each two steps
                break
            adam.param_groups[0]["lr"] = 0.1 * ramp_and_cosine(step, steps)
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                project(free)
    return losses


def plain_image(generator: StyleGAN2, state: State, layer: str) -> Tensor:
    """Images [N, C, H, W] in [0, 1] of the features of a layer, in the plain way."""
    w, h, image = generator.styles_of(state["z"]), state.get("h"), state.get("rgb")
    for scale in range(0 if layer == INPUT else generator.sides.index(int(layer)) + 1, len(generator.sides)):
        if h is None:
            h = generator.constant.repeat(len(w), 1, 1, 1)
        for number in range(max(0, 2 * scale - 1), 2 * scale + 1):
            conv = cast(StyledConv, generator.convs[number])
            h = plain_convolution(h, w[:, number], conv.conv, demodulate=True)
            h = h + conv.strength * state[noise_name(number)]
            h = functional.leaky_relu(h + conv.bias[:, None, None], 0.2) * math.sqrt(2)
        rgb = cast(ToRGB, generator.rgbs[scale])
        colours = plain_convolution(h, w[:, 2 * scale + 1], rgb.conv, demodulate=False) + rgb.bias[:, None, None]
        image = colours if image is None else colours + plain_filter(image, up=2, before=2, after=1)
    assert image is not None
    return (image + 1) / 2


def plain_convolution(x: Tensor, w: Tensor, layer: Modulated, *, demodulate: bool) -> Tensor:
    """The weights of each image as a group of one convolution."""
    style = functional.linear(w, layer.style.weight * layer.style.scale, layer.style.bias + 1)
    weight = layer.weight * layer.scale * style[:, None, :, None, None]  # [N, after, before, k, k]
    if demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    n, before, height, width = x.shape
    x = x.reshape(1, n * before, height, width)
    if not layer.up:
        x = functional.conv2d(x, weight.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
        return x.unflatten(1, (n, -1))[0]
    x = functional.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    return plain_filter(x.unflatten(1, (n, -1))[0], up=1, before=1, after=1)


def plain_filter(x: Tensor, *, up: int, before: int, after: int) -> Tensor:
    """Zeros between the pixels and around them, then the filter (1, 3, 3, 1) along both sides with a gain of 4."""
    n, channels, height, width = x.shape
    spread = x.new_zeros(n * channels, 1, height, up, width, up)
    spread[:, :, :, 0, :, 0] = x.flatten(0, 1)[:, None]
    padded = functional.pad(spread.flatten(4, 5).flatten(2, 3), (before, after, before, after))
    row = x.new_tensor([0.25, 0.75, 0.75, 0.25])
    return functional.conv2d(padded, torch.outer(row, row)[None, None]).unflatten(0, (n, channels))[:, :, 0]


def forward_operations(generator: StyleGAN2) -> float:
    """Floating-point operations of the convolutions and matrix products in an image, mean over the rounds."""
    generator, total = copy.deepcopy(generator).requires_grad_(False), 0
    z = generator.draw_latent(torch.Generator())[None].to(generator.constant)
    for layer in ROUNDS:
        features = generator.features(z, layer)
        with FlopCounterMode(display=False) as counter:
            generator.image_from(features, layer)
        total += counter.get_total_flops()
    return total / len(ROUNDS)


def report(generator: StyleGAN2, seconds: dict[str, float], images: int, steps: int) -> None:
    """Print speeds, ratios and the share of the matrix-product rate."""
    rate, image_steps = 2 * MATRIX**3 / seconds["matrix"], images * len(ROUNDS) * steps
    forward = forward_operations(generator)
    widths = ", ".join(str(cast(StyledConv, conv).bias.numel()) for conv in generator.convs[::2])
    size = generator.image_shape[1]
    print(f"StyleGAN2 {size}x{size}, {widths} channels, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"matrix product: {rate / 1e9:.0f} GFLOP/s; forward: {forward / 1e6:.0f} MFLOP per image, mean of the rounds")
    # A step computes the image and the gradients of what is optimised, not of the weights; the last step has no update.
    share = (2 - 1 / steps) * forward * image_steps / seconds["ours"] / rate
    plain, alone, ours = (image_steps / seconds[name] for name in ("plain", "alone", "ours"))
    print(
        f"ILO: plain {plain:.1f}, ours one at a time {alone:.1f}, ours {ours:.1f} image steps per second: "
        f"{ours / plain:.2f} times faster, {share:.0%} of the matrix-product rate"
    )


def report_memory(device: str) -> None:
    """Print the peak memory of the first round on one image, in which all scales take part: two losses, one update.

    On CUDA it is what torch has allocated, on a CPU all memory of this process.
    """
    generator = random_generator()
    problem = make_problem(generator, 1, device)
    ready = cast(StyleGAN2, frozen(generator, device))
    print(f"StyleGAN2 1024x1024, one image, {device}: before the first step {peak_gb(device):.2f} GB")
    with tempfile.TemporaryDirectory() as raw:
        save_random_vgg(Path(raw, SOURCES["net"]["vgg"][0]))
        both: list[dict[str, Any]] = [{"name": "squared-error", "reduction": "mean"}, {"name": "lpips"}]
        for name, losses in (("squared error", both[:1]), ("squared error + LPIPS", both)):
            ilo(replace(problem, losses=losses, raw=Path(raw)), ready, layers=[], steps=2)
            print(f"peak with {name}: {peak_gb(device):.2f} GB")


def peak_gb(device: str) -> float:
    """The peak memory so far, in units of 10^9 bytes."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.startswith("cuda") else peak_memory_mib() * 2**20 / 1e9


def save_random_vgg(path: Path) -> None:
    """A file of random weights in the form of torchvision's VGG-16."""
    layers = [layer for stage in LPIPS_LAYERS["vgg"] for layer in stage.split() if layer != "pool"]
    state, before = {}, 3
    for layer, after in zip(layers, VGG_WIDTHS, strict=True):
        state[f"features.{layer}.weight"] = torch.randn(after, before, 3, 3) / math.sqrt(4.5 * before)
        state[f"features.{layer}.bias"] = torch.zeros(after)
        before = after
    path.parent.mkdir()
    torch.save(state, path)


if __name__ == "__main__":
    main()
