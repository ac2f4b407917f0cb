"""Every metric of a batch of reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from reprior.errors import UserError
from reprior.loading import call, module_name
from reprior.metrics import metric_id


def evaluate(
    estimate: np.ndarray, truth: np.ndarray, specs: Sequence[Mapping[str, Any]], raw: Path
) -> dict[str, np.ndarray]:
    """Every metric of every image: two [N, C, H, W] -> {metric id: [N]}; the estimate is clipped to [0, 1] here.

    Metrics for images of another shape are left out, since the cases of a study may differ in it. `raw` is the folder
    of downloads, for metrics that need one.
    """
    if estimate.shape != truth.shape:
        raise UserError(f"images of shape {estimate.shape} cannot be compared with originals of shape {truth.shape}")
    given = {"estimate": np.clip(estimate, 0, 1), "truth": truth, "raw": raw}
    return {metric_id(spec): call("metric", spec, given) for spec in specs if _is_for(truth.shape[1:], spec)}


def _is_for(image_shape: tuple[int, ...], spec: Mapping[str, Any]) -> bool:
    """Whether a metric measures such images: those of its module's constant `IMAGE_SHAPE`, or any without one."""
    module = import_module(module_name("metric", spec["name"]))
    return image_shape == getattr(module, "IMAGE_SHAPE", image_shape)
