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

    `psnr` is averaged as IAGAN does: 10 log10(1 / mean MSE), where the MSE of each image comes from its PSNR.
    `psnr-mean` is the mean of the PSNRs of the images, and is never lower. Every other metric has a plain mean.
    """
    return float(_from_mean(metric, _to_mean(metric, values).mean()))


def bootstrap_interval(
    metric: str, values: Iterable[float], level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Where `average` would fall for other images like these: the percentile bootstrap, with the same draws each time.

    Each draw takes N of the N images with replacement and averages them as `average` does. The interval leaves out the
    lowest and the highest (1 - level) / 2 of these averages. It covers the choice of images and nothing else. None for
    a single image, and if a number is NaN or an error is infinite.
    """
    plain = np.sort(_to_mean(metric, values))  # so that the order of the images does not matter
    if len(plain) < 2 or not np.isfinite(plain).all():
        return None
    means = _resampled_means(plain, draws)
    tail = (1 - level) / 2
    # PSNR falls as the MSE rises: the low quantile of one is the high quantile of the other
    low, high = sorted(_from_mean(metric, np.quantile(means, (tail, 1 - tail))).tolist())
    return low, high


def difference_interval(
    metric: str, left: Iterable[float], right: Iterable[float], paired: bool, level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Bootstrap interval of `average(left) - average(right)`, made as in `bootstrap_interval`.

    `paired`: both are of the same images in the same order, and an image is drawn for both sides at once. None for a
    single image, and if a number is NaN, or infinite after averaging.
    """
    means = _drawn_averages(metric, left, right, paired, draws)
    return None if means is None else _middle(means[0] - means[1], level)


def ratio_interval(
    metric: str, left: Iterable[float], right: Iterable[float], paired: bool, level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Bootstrap interval of `average(left) / average(right)`, made as in `difference_interval`.

    None also if the right averages of some draws are zero or differ in sign: the ratio then has no finite interval.
    """
    means = _drawn_averages(metric, left, right, paired, draws)
    if means is None or not (means[1] > 0).all() | (means[1] < 0).all():
        return None
    return _middle(means[0] / means[1], level)


def _drawn_averages(
    metric: str, left: Iterable[float], right: Iterable[float], paired: bool, draws: int
) -> np.ndarray | None:
    """Both averages in each draw, [2, draws]. None if one of them is not a finite number, and for a single image."""
    means = []
    for values, role in ((left, "bootstrap"), (right, "bootstrap" if paired else "bootstrap-against")):
        plain = _to_mean(metric, values)
        if len(plain) < 2 or not np.isfinite(plain).all():
            return None
        means.append(_from_mean(metric, _resampled_means(plain, draws, role)))
    return np.stack(means) if np.isfinite(means).all() else None


def _middle(numbers: np.ndarray, level: float) -> tuple[float, float]:
    """The interval that leaves out the lowest and the highest (1 - level) / 2 of the numbers."""
    tail = (1 - level) / 2
    low, high = np.quantile(numbers, (tail, 1 - tail)).tolist()
    return low, high


def _resampled_means(plain: np.ndarray, draws: int, role: str = "bootstrap") -> np.ndarray:
    """The mean of the numbers [N] in each resample, [draws]."""
    blocks = _blocks(_resamples(len(plain), draws, role))
    return np.concatenate([block @ plain for block in blocks]) / len(plain)


@lru_cache(maxsize=2)
def _resamples(count: int, draws: int, role: str) -> np.ndarray:
    """How often each image is in each resample, [draws, count]. The same for every metric and method."""
    rng = np.random.default_rng(seed_for(SHARED, SHARED, SHARED, role))
    times = np.empty((draws, count), dtype=np.uint16)
    for block in _blocks(times):
        drawn = rng.integers(count, size=block.shape) + count * np.arange(len(block))[:, None]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    return times


def _blocks(times: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each: as float64, all rows for 10,000 images would take 800 MB, and one block takes 8 MB."""
    rows = max(1, 2**20 // times.shape[1])
    return [times[first : first + rows] for first in range(0, len(times), rows)]


def _to_mean(metric: str, values: Iterable[float]) -> np.ndarray:
    """The numbers to take the plain mean of, [N]: the MSE for `psnr`, else the metric itself."""
    array = np.asarray(list(values), dtype=np.float64)
    return np.power(10.0, -array / 10) if metric == "psnr" else array


def _from_mean(metric: str, mean: np.ndarray) -> np.ndarray:
    """The plain mean -> the average as it is reported."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mean) if metric == "psnr" else mean


def about(metric: str) -> About:
    """How a metric is shown: what its module says in `LABEL`, `BETTER` and `FORMAT`."""
    if metric in BESIDE:
        return BESIDE[metric]
    module, variant = _module(metric)
    label = f"{module.LABEL} ({variant})" if variant else module.LABEL
    return About(label, module.BETTER, module.FORMAT)


def _module(metric: str) -> tuple[ModuleType, str]:
    """The plug-in and the variant of a metric id: `lpips-alex` -> (lpips, "alex")."""
    name, _, variant = metric.rpartition("-")
    for candidate, rest in ((metric, ""), (name, variant)):
        path = f"reprior.metrics.{candidate.replace('-', '_')}"
        if candidate and find_spec(path):
            return import_module(path), rest
    raise UserError(f"metric `{metric}`: there is no such file in reprior/metrics; add it or correct the name")
