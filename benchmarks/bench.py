"""Speed of the optimisation loop on this machine, against the plain way of writing the same methods.

The plain way: one image at a time, gradients for all weights of the generator, default memory format, and the defaults
of `torch.optim.Adam`. Every number is the median of interleaved repeats in one run, so that other load on the machine
falls on all of them.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from reprior.generators.base import Generator
from reprior.generators.began import BEGAN
from reprior.methods.base import Problem
from reprior.methods.csgm import csgm
from reprior.methods.iagan import iagan
from reprior.operators.bicubic import Bicubic

MATRIX = 2048


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, choices=[64, 128])
    parser.add_argument("--channels", type=int, default=32, help="of the BEGAN; 32 is the demo's")
    parser.add_argument("--images", type=int, default=8, help="in a batch")
    parser.add_argument("--steps", type=int, default=8, help="in one repeat")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    generator = BEGAN(size=options.size, channels=options.channels)
    problem = make_problem(generator, options.images, options.device)
    seconds = measured(jobs(problem, generator.to(options.device), options.steps), options.repeats, options.device)
    report(generator, seconds, options.images * options.steps)


def make_problem(generator: Generator, images: int, device: str) -> Problem:
    """Super-resolution by 4 of random images."""
    operator = Bicubic(generator.image_shape, torch.Generator(), scale=4).to(device, torch.float32)
    truth = torch.rand(images, *generator.image_shape, generator=torch.Generator().manual_seed(0))
    return Problem(operator.A(truth.to(device)), operator, "bench", "bench", tuple(str(i) for i in range(images)))


def jobs(problem: Problem, generator: Generator, steps: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name: each does `steps` steps for all images of the problem."""
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


def plain_csgm(problem: Problem, generator: Generator, z: Tensor, steps: int) -> list[float]:
    """CSGM as one writes it first; gives the losses."""
    z = z.clone().requires_grad_()
    return _descend(problem, generator, z, [torch.optim.Adam([z], lr=0.1)], steps)


def plain_iagan(problem: Problem, generator: Generator, z: Tensor, steps: int) -> list[float]:
    """IAGAN as one writes it first; gives the losses."""
    generator, z = copy.deepcopy(generator), z.clone().requires_grad_()
    adams = [torch.optim.Adam([z], lr=1e-4), torch.optim.Adam(generator.parameters(), lr=1e-4)]
    return _descend(problem, generator, z, adams, steps)


def _descend(
    problem: Problem, generator: Generator, z: Tensor, adams: list[torch.optim.Adam], steps: int
) -> list[float]:
    losses = []
    for _ in range(steps):
        for adam in adams:
            adam.zero_grad()
        loss = problem.residual(generator.image(z)).sum()
        loss.backward()
        for adam in adams:
            adam.step()
        losses.append(loss.item())
    return losses


def measured(tasks: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each task, the tasks taken in turn; the first turn is not counted."""
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
    """Floating-point operations of the convolutions and linear layers in G(z), one image."""
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
    print(f"matrix product: {rate / 1e9:.0f} GFLOP/s; G(z): {forward / 1e6:.0f} MFLOP an image")
    # A step of CSGM is G and the gradient of z; IAGAN's has the gradient of the weights too.
    for method, passes, wanted in (("csgm", 2, 2.5), ("iagan", 3, 1.5)):
        plain, ours = (seconds[name] / image_steps for name in (f"{method} plain", method))
        share = passes * forward / ours / rate
        print(
            f"{method:5}: plain {plain * 1e3:6.2f} ms, ours {ours * 1e3:6.2f} ms a step and image: "
            f"{plain / ours:.2f} times faster (wanted: {wanted}), {share:.0%} of the matrix-product rate"
        )


if __name__ == "__main__":
    main()
