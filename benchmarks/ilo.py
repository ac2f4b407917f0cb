"""Peak memory of ILO on one image at 1024 pixels, with StyleGAN2 at full width and random weights.

    python benchmarks/ilo.py

Its speed is measured by `limits.py`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from reprior.generators.base import Generator
from reprior.losses.lpips import SOURCES
from reprior.machine.facts import peak_memory_mib
from reprior.machine.memory import keep_freed_memory
from reprior.methods.ilo import ilo
from reprior.networks.lpips import LAYERS
from reprior.networks.trained import frozen
from workloads import random_network, random_problem, selected

VGG_WIDTHS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def main() -> None:
    """Print the peak memory of the first round, in which all scales take part: two losses, one update.

    On CUDA it is what torch has allocated, on a CPU all memory of this process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    keep_freed_memory()  # as jobs do
    (workload,) = selected(["ilo"], [1024])
    generator = cast(Generator, frozen(random_network(workload.specs[0], device), device))
    problem = random_problem(workload.operator, workload.size, device, images=1)
    print(f"{workload.network}, {workload.size} pixels, {device}: before the first step {peak_gb(device):.2f} GB")
    with tempfile.TemporaryDirectory() as raw:
        save_random_vgg(Path(raw, SOURCES["net"]["vgg"][0]))
        both: list[dict[str, Any]] = [{"name": "squared-error", "reduction": "mean"}, {"name": "lpips"}]
        for name, losses in (("squared error", both[:1]), ("squared error + LPIPS", both)):
            ilo(replace(problem, losses=losses, raw=Path(raw)), generator, layers=[], steps=2)
            print(f"peak with {name}: {peak_gb(device):.2f} GB")


def peak_gb(device: str) -> float:
    """The peak memory so far, in units of 10^9 bytes."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.startswith("cuda") else peak_memory_mib() * 2**20 / 1e9


def save_random_vgg(path: Path) -> None:
    """A file of random weights in the form of torchvision's VGG-16."""
    layers = [layer for stage in LAYERS["vgg"] for layer in stage.split() if layer != "pool"]
    state, before = {}, 3
    for layer, after in zip(layers, VGG_WIDTHS, strict=True):
        state[f"features.{layer}.weight"] = torch.randn(after, before, 3, 3) / math.sqrt(4.5 * before)
        state[f"features.{layer}.bias"] = torch.zeros(after)
        before = after
    path.parent.mkdir()
    torch.save(state, path)


if __name__ == "__main__":
    main()
