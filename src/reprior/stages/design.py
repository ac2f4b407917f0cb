"""Generator -> matrix of an operator that is designed for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from reprior.generators.base import Generator
from reprior.loading import load
from reprior.machine.files import save_tensors
from reprior.networks.trained import trained
from reprior.seeds import rng_for


def design(operator: Mapping[str, Any], generator: Mapping[str, Any], out: Path, *, device: str = "cpu") -> None:
    """Design the matrix of an operator for a generator, which is a spec with a file of weights.

    The settings of `operator` are those of its `design`. Image i of the generator is that of latent i of its prior.
    """
    settings = dict(operator)
    name = settings.pop("name")
    G = cast(Generator, trained("generator", generator, device))

    def generated(numbers: range) -> Tensor:
        z = torch.stack([G.draw_latent(rng_for("design", "", str(number), "latent")) for number in numbers])
        x = G.image(z.to(device))
        return x.cpu() if x.device.type == "mps" else x  # which has no float64

    made = load("operator", name).design(generated, **settings)
    save_tensors(out, made, {"operator": dict(operator), "generator": dict(generator)})
