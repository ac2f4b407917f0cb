"""Every metric of a batch of reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reprior.errors import UserError
from reprior.metrics import metric_id
from reprior.plugins import load


def evaluate(estimate: np.ndarray, truth: np.ndarray, specs: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Every metric of every image: two [N, 3, H, W] -> {metric id: [N]}; the estimate is clipped to [0, 1] here."""
    if estimate.shape != truth.shape:
        raise UserError(f"images of shape {estimate.shape} cannot be compared with originals of shape {truth.shape}")
    clipped = np.clip(estimate, 0, 1)
    return {metric_id(spec): load("metric", spec["name"])(clipped, truth, **_settings(spec)) for spec in specs}


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "name"}
