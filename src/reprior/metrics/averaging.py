"""How metrics are averaged over images, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np

from reprior.errors import UserError
from reprior.metrics.beside import BESIDE, About
from reprior.seeds import SHARED, seed_for


def average(metric: str, values: Iterable[float]) -> float:
    """The average over images, NaN if any value is.

    `psnr` is averaged as IAGAN does, 10 log10(1 / mean MSE), with the MSE recovered from each PSNR; `psnr-mean` is
    the mean of per-image PSNRs, which is never lower; every other metric is averaged plainly.
    """
    return float(_from_mean(metric, _to_mean(metric, values).mean()))


def bootstrap_interval(
    metric: str, values: Iterable[float], level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Where `average` would fall for other images like these: the percentile bootstrap, with the same draws each time.

    As many images as there are, [N], are drawn from them with replacement, and averaged as `average` does; the
    interval leaves out the lowest and the highest (1 - level) / 2 of `draws` such averages. It covers the choice of
    images and nothing else. None for a single image, and where a number is NaN or an error infinite.
    """
    plain = np.sort(_to_mean(metric, values))  # sorted, so that the order of the images does not matter
    if len(plain) < 2 or not np.isfinite(plain).all():
        return None
    means = _resamples(len(plain), draws) @ plain / len(plain)
    tail = (1 - level) / 2
    # a PSNR falls as the mean MSE rises, so the quantiles of the one are those of the other, the other way round
    low, high = sorted(_from_mean(metric, np.quantile(means, (tail, 1 - tail))).tolist())
    return low, high


def difference_interval(
    metric: str, left: Iterable[float], right: Iterable[float], paired: bool, level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Where `average(left) - average(right)` would fall for other images like these, as `bootstrap_interval` has it.

    `paired` says that both are of the same images in the same order, which are then drawn together. None for a single
    image, and where a number is NaN, or infinite after averaging.
    """
    means = []
    for values, role in ((left, "bootstrap"), (right, "bootstrap" if paired else "bootstrap-against")):
        plain = _to_mean(metric, values)
        if len(plain) < 2 or not np.isfinite(plain).all():
            return None
        means.append(_from_mean(metric, _resamples(len(plain), draws, role) @ plain / len(plain)))
    if not np.isfinite(means).all():
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(means[0] - means[1], (tail, 1 - tail)).tolist()
    return low, high


@lru_cache(maxsize=2)
def _resamples(count: int, draws: int, role: str = "bootstrap") -> np.ndarray:
    """How often each of `count` images is in each resample, [draws, count]; the same for every metric and method."""
    rng = np.random.default_rng(seed_for(SHARED, SHARED, SHARED, role))
    drawn = rng.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    times = np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)
    return np.asfortranarray(times, dtype=np.float64)


def _to_mean(metric: str, values: Iterable[float]) -> np.ndarray:
    """What of each image is averaged plainly, [N]: the MSE of a PSNR, any other number itself."""
    array = np.asarray(list(values), dtype=np.float64)
    return np.power(10.0, -array / 10) if metric == "psnr" else array


def _from_mean(metric: str, mean: np.ndarray) -> np.ndarray:
    """The average as it is reported, of the plain mean."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mean) if metric == "psnr" else mean


def about(metric: str) -> About:
    """How the metric of this id is shown, as its module says (`LABEL`, `BETTER`, `FORMAT`)."""
    if metric in BESIDE:
        return BESIDE[metric]
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
