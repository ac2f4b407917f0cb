"""How metrics are averaged over images, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np

from reprior.errors import UserError


@dataclass(frozen=True)
class About:
    """How a metric is shown: its label, which way is better (`higher`, `lower` or neither) and its number format."""

    label: str
    better: str
    format: str


_NOT_PLUGINS = {
    "psnr-mean": About("mean PSNR [dB]", "higher", ".2f"),
    "seconds": About("seconds an image", "", ".2f"),
    "memory_mib": About("peak memory [MiB]", "", ".0f"),
}


def average(metric: str, values: Iterable[float]) -> float:
    """The average over images, NaN if any value is.

    `psnr` is averaged as IAGAN does, 10 log10(1 / mean MSE), with the MSE recovered from each PSNR; `psnr-mean` is
    the mean of per-image PSNRs, which is never lower; every other metric is averaged plainly.
    """
    array = np.asarray(list(values), dtype=np.float64)
    if metric != "psnr":
        return float(array.mean())
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(np.power(10.0, -array / 10).mean()))


def about(metric: str) -> About:
    """How the metric of this id is shown, as its module says (`LABEL`, `BETTER`, `FORMAT`)."""
    if metric in _NOT_PLUGINS:
        return _NOT_PLUGINS[metric]
    module, variant = _module(metric)
    label = f"{module.LABEL} ({variant})" if variant else module.LABEL
    return About(label, module.BETTER, module.FORMAT)


def _module(metric: str) -> tuple[ModuleType, str]:
    """The plug-in of a metric id and the variant that the id names: `lpips-alex` -> (lpips, "alex")."""
    name, _, variant = metric.rpartition("-")
    for candidate, rest in ((metric, ""), (name, variant)):
        path = f"reprior.metrics.{candidate.replace('-', '_')}"
        if candidate and find_spec(path):
            return import_module(path), rest
    raise UserError(f"metric `{metric}`: there is no such file in reprior/metrics; add it or correct the name")
