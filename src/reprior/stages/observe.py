"""Images -> observations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.machine.files import load_tensors, save_tensors
from reprior.operators import make_operator
from reprior.seeds import rng_for


def deviation(case: Mapping[str, Any], y: Tensor) -> float:
    """The standard deviation of the noise in y [N, ...]: `noise`, or `noise_norm` divided by the root of its size."""
    norm = case.get("noise_norm")
    return float(case["noise"] if norm is None else norm / y[0].numel() ** 0.5)


def observe(images: Path, case: Mapping[str, Any], out: Path) -> None:
    """Measure one batch of images: y = A x + e, clipped to [0, 1] if `clip` says so.

    The noise e has deviation `noise` or expected norm `noise_norm`.
    """
    tensors, meta = load_tensors(images)
    x, ids = tensors["images"], meta["ids"]
    operator = make_operator(case["study"], case["case"], case["operator"], x.shape[1:])
    y = operator.A(x)
    rngs = (rng_for(case["study"], case["case"], image, "noise") for image in ids)
    y = y + deviation(case, y) * torch.stack([torch.randn(y.shape[1:], generator=rng) for rng in rngs])
    if case.get("clip"):
        y = y.clamp(0, 1)
    kept = {"y": y, "picture": operator.picture(y), "mask": getattr(operator, "mask", None)}
    save_tensors(
        out,
        {name: tensor for name, tensor in kept.items() if tensor is not None},
        {**case, "ids": ids, "image_shape": list(x.shape[1:])},
    )
