"""Speed of the optimisation loop on this machine, compared with a plain implementation of the same methods.

The plain way: one image at a time, gradients for all weights of the generator, default memory format, and the defaults
of `torch.optim.Adam`. Every number is the median of interleaved repeats in one run, so that other load on the machine
affects all of them.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters
from torch.utils.flop_counter import FlopCounterMode

from reprior.generators.base import Generator
from reprior.generators.began import BEGAN
from reprior.methods.base import Problem, Reconstruction
from reprior.methods.csgm import csgm
from reprior.methods.deep_decoder import deep_decoder
from reprior.methods.hybrid import hybrid
from reprior.methods.iagan import iagan
from reprior.networks.deep_decoder import largest_below
from reprior.operators.bicubic import Bicubic
from reprior.operators.gaussian import Gaussian
from reprior.optimise.watch import Watch

MATRIX = 2048


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, choices=[64, 128])
    parser.add_argument("--channels", type=int, default=32, help="of the BEGAN; the demo has 32")
    parser.add_argument("--images", type=int, default=8, help="in a batch")
    parser.add_argument("--steps", type=int, default=8, help="in one repeat")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    generator = BEGAN(size=options.size, channels=options.channels)
    problem = make_problem(generator, options.images, options.device)
    seconds = measured(jobs(problem, generator.to(options.device), options.steps), options.repeats, options.device)
    report(generator, seconds, options.images * options.steps)
    mixed = make_mixed(generator, options.device)
    seconds = measured(mixed_jobs(mixed, generator, options.steps), options.repeats, options.device)
    report_mixed(seconds, len(mixed) * options.steps)


def make_problem(generator: Generator, images: int, device: str) -> Problem:
    """Super-resolution by 4 of random images."""
    operator = Bicubic(generator.image_shape, torch.Generator(), scale=4).to(device, torch.float32)
    truth = torch.rand(images, *generator.image_shape, generator=torch.Generator().manual_seed(0))
    return Problem(operator.A(truth.to(device)), operator, "bench", "bench", tuple(str(i) for i in range(images)))


def jobs(problem: Problem, generator: Generator, steps: int) -> dict[str, Callable[[], object]]:
    """The functions to time, by name. Each does `steps` steps for all images of the problem."""
    ready = copy.deepcopy(generator).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    start = csgm(problem, ready, steps=1)
    assert start.latents is not None
    latents = start.latents
    matrix = torch.rand(MATRIX, MATRIX, device=problem.y.device)
    rows = range(len(problem))
    return {
        "matrix": lambda: matrix @ matrix,
        "csgm plain": lambda: [plain_csgm(problem[i : i + 1], generator, latents[i : i + 1], steps) for i in rows],
        "csgm": lambda: csgm(problem, ready, steps=steps),
        "iagan plain": lambda: [plain_iagan(problem[i : i + 1], generator, latents[i : i + 1], steps) for i in rows],
        "iagan": lambda: iagan(problem, ready, start, steps=steps),
    }


def make_mixed(generator: Generator, device: str) -> Problem:
    """Twelve images and their Gaussian measurements, m/n = 0.1: a case of the hybrid paper."""
    shape = generator.image_shape
    operator = Gaussian(shape, torch.Generator(), ratio=0.1).to(device, torch.float32)
    truth = torch.rand(12, *shape, generator=torch.Generator().manual_seed(0))
    return Problem(operator.A(truth.to(device)), operator, "bench", "bench", tuple(str(i) for i in range(12)))


def mixed_jobs(problem: Problem, generator: Generator, steps: int) -> dict[str, Callable[[], object]]:
    """The Deep Decoder and the hybrid: in a batch, one image at a time, and the plain way (one image at a time)."""
    ready = copy.deepcopy(generator).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    latents = generator.latent_shape[0]
    gan = replace(problem, watch=Watch(marks=(0,)))
    dd = replace(problem, watch=Watch(marks=(0,)))
    csgm(gan, ready, steps=1)
    deep_decoder(dd, steps=1, beside=latents)
    starts = [begun(watched) for watched in (gan, dd)]
    rows = [slice(i, i + 1) for i in range(len(problem))]

    def mixed(here: slice) -> Reconstruction:
        return hybrid(problem[here], ready, *(start[here] for start in starts), steps=steps)

    return {
        "dd plain": lambda: [plain_hybrid(problem[row], None, starts, row, steps) for row in rows],
        "dd alone": lambda: [deep_decoder(problem[row], steps=steps, beside=latents) for row in rows],
        "dd": lambda: deep_decoder(problem, steps=steps, beside=latents),
        "hybrid plain": lambda: [plain_hybrid(problem[row], generator, starts, row, steps) for row in rows],
        "hybrid alone": lambda: [mixed(row) for row in rows],
        "hybrid": lambda: mixed(slice(0, len(problem))),
    }


def begun(problem: Problem) -> Reconstruction:
    """The state at step 0, which the problem's watch has saved."""
    state = {key.removeprefix("0."): tensor for key, tensor in problem.watch.marked.items()}
    return Reconstruction(state["kept.x"], status=("ok",) * len(problem), state=state)


def plain_hybrid(
    problem: Problem, generator: Generator | None, starts: list[Reconstruction], row: slice, steps: int
) -> list[float]:
    """The hybrid (or, without a generator, the Deep Decoder) of one image in the plain way; returns the losses."""
    gan, dd = (start[row].state for start in starts)
    k = largest_below(problem.y[0].numel(), gan["variables.z"].shape[1])
    decoder = plain_decoder(k).to(problem.y.device)
    vector_to_parameters(dd["variables.theta"][0], decoder.parameters())
    u = torch.randn(1, k, *(side // 16 for side in problem.operator.image_shape[1:]), device=problem.y.device)
    z = gan["variables.z"].clone().requires_grad_()
    alpha, beta = (torch.tensor(0.5, device=problem.y.device, requires_grad=True) for _ in range(2))

    def image() -> Tensor:
        return decoder(u) if generator is None else alpha * generator.image(z) + beta * decoder(u)

    variables = [*decoder.parameters(), *([] if generator is None else [z, alpha, beta])]
    return descend(problem, image, [torch.optim.Adam(variables, lr=0.01)], steps)


def plain_decoder(k: int) -> nn.Sequential:
    """The Deep Decoder built from PyTorch's layers."""
    up = {"scale_factor": 2, "mode": "bilinear", "align_corners": True}
    layer = [lambda: nn.Conv2d(k, k, 1), lambda: nn.BatchNorm2d(k), lambda: nn.Upsample(**up), nn.ReLU]
    return nn.Sequential(*(make() for _ in range(4) for make in layer), nn.Conv2d(k, 3, 1), nn.Sigmoid())


def plain_csgm(problem: Problem, generator: Generator, z: Tensor, steps: int) -> list[float]:
    """CSGM in the plain way; returns the losses."""
    z = z.clone().requires_grad_()
    return descend(problem, lambda: generator.image(z), [torch.optim.Adam([z], lr=0.1)], steps)


def plain_iagan(problem: Problem, generator: Generator, z: Tensor, steps: int) -> list[float]:
    """IAGAN in the plain way; returns the losses."""
    generator, z = copy.deepcopy(generator), z.clone().requires_grad_()
    adams = [torch.optim.Adam([z], lr=1e-4), torch.optim.Adam(generator.parameters(), lr=1e-4)]
    return descend(problem, lambda: generator.image(z), adams, steps)


def descend(problem: Problem, image: Callable[[], Tensor], adams: list[torch.optim.Adam], steps: int) -> list[float]:
    """Plain optimisation steps; returns the losses."""
    losses = []
    for _ in range(steps):
        for adam in adams:
            adam.zero_grad()
        loss = problem.residual(image()).sum()
        loss.backward()
        for adam in adams:
            adam.step()
        losses.append(loss.item())
    return losses


def measured(tasks: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each task. The tasks run in turn, and the first turn is not counted."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats + 1):
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def forward_operations(generator: Generator) -> int:
    """Floating-point operations of the convolutions and linear layers in G(z), per image."""
    z = generator.draw_latent(torch.Generator())[None].to(next(generator.parameters()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(z)
    return int(counter.get_total_flops())


def report(generator: BEGAN, seconds: dict[str, float], image_steps: int) -> None:
    """Print times, ratios and the share of the matrix-product rate."""
    rate = 2 * MATRIX**3 / seconds.pop("matrix")
    forward = forward_operations(generator)
    channels, size = generator.out.in_channels, generator.image_shape[1]
    print(f"BEGAN {size}x{size}, {channels} channels, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"matrix product: {rate / 1e9:.0f} GFLOP/s; G(z): {forward / 1e6:.0f} MFLOP per image")
    # A step of CSGM computes G and the gradient of z. A step of IAGAN also computes the gradient of the weights.
    for method, passes, wanted in (("csgm", 2, 2.5), ("iagan", 3, 1.5)):
        plain, ours = (seconds[name] / image_steps for name in (f"{method} plain", method))
        share = passes * forward / ours / rate
        print(
            f"{method:5}: plain {plain * 1e3:6.2f} ms, ours {ours * 1e3:6.2f} ms per step and image: "
            f"{plain / ours:.2f} times faster (wanted: {wanted}), {share:.0%} of the matrix-product rate"
        )


def report_mixed(seconds: dict[str, float], image_steps: int) -> None:
    """Print times and ratios of the Deep Decoder and the hybrid."""
    for method, wanted in (("dd", ""), ("hybrid", " (wanted: 3)")):
        plain, alone, ours = (seconds[f"{method}{way}"] / image_steps for way in (" plain", " alone", ""))
        print(
            f"{method:6}, 12 images: {1 / ours:.0f} image steps per second; image by image {plain / ours:.2f} times"
            f" slower the plain way{wanted}, {alone / ours:.2f} times our way"
        )


if __name__ == "__main__":
    main()
