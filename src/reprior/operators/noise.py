"""Observations: what an operator measures, and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reprior.operators.base import Operator
from reprior.seeds import rng_for


def deviation(case: Mapping[str, Any], y: Tensor) -> float:
    """The standard deviation of the noise in y [N, ...]: `noise`, or `noise_norm` divided by the root of its size."""
    norm = case.get("noise_norm")
    return float(case["noise"] if norm is None else norm / y[0].numel() ** 0.5)


def observed(operator: Operator, x: Tensor, case: Mapping[str, Any], ids: Sequence[str]) -> Tensor:
    """y = A x + e of images x [N, C, H, W] with these ids, clipped to [0, 1] if the case says `clip`.

    The noise e has deviation `noise` or expected norm `noise_norm`. Each image has its own draw.
    """
    y = operator.A(x)
    rngs = (rng_for(case["study"], case["case"], image, "noise") for image in ids)
    noise = torch.stack([torch.randn(y.shape[1:], generator=rng) for rng in rngs])
    y = y + deviation(case, y) * noise.to(y)
    return y.clamp(0, 1) if case.get("clip") else y
