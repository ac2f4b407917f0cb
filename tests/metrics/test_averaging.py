"""Averages over images."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprior.errors import UserError
from reprior.metrics.averaging import about, average, bootstrap_interval, difference_interval, ratio_interval

errors = st.lists(st.floats(1e-6, 1), min_size=1, max_size=20)
several = st.lists(st.floats(1e-6, 1), min_size=2, max_size=12)


def psnrs(count: int, seed: int = 0) -> np.ndarray:
    """PSNRs as those of a set of faces."""
    return np.random.default_rng(seed).normal(25, 2, count)


@given(errors)
def test_psnr_is_averaged_over_the_mse(mses: list[float]) -> None:
    values = [-10 * math.log10(error) for error in mses]
    assert average("psnr", values) == pytest.approx(-10 * math.log10(sum(mses) / len(mses)), abs=1e-9)
    assert average("psnr", values) <= average("psnr-mean", values) + 1e-9
    assert average("psnr-mean", values) == pytest.approx(sum(values) / len(values))


def test_an_exact_image_counts_as_no_error() -> None:
    assert average("psnr", [math.inf, 20.0]) == pytest.approx(20 + 10 * math.log10(2))
    assert average("psnr", [math.inf, math.inf]) == math.inf


def test_a_nan_is_never_averaged_away() -> None:
    for metric in ("psnr", "psnr-mean", "mse", "lpips-alex", "seconds"):
        assert math.isnan(average(metric, [1.0, math.nan]))


def test_others_are_averaged_plainly() -> None:
    assert average("lpips-alex", [0.1, 0.3]) == pytest.approx(0.2)
    assert average("memory_mib", [100, 300]) == pytest.approx(200)


def test_a_metric_says_how_it_is_shown() -> None:
    assert about("lpips-squeeze").label == "LPIPS (squeeze)"
    assert (about("psnr").better, about("mse").better, about("seconds").better) == ("higher", "lower", "")
    with pytest.raises(UserError, match="psnrr"):
        about("psnrr")


@pytest.mark.parametrize("metric", ["psnr", "psnr-mean", "mse"])
def test_the_interval_is_that_of_scipy(metric: str) -> None:
    from scipy import stats

    values = psnrs(40)
    theirs = stats.bootstrap(
        (values,), lambda drawn: average(metric, drawn), vectorized=False, method="percentile", rng=1, n_resamples=2000
    ).confidence_interval
    ours = bootstrap_interval(metric, values)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.08 * (theirs.high - theirs.low))


def test_two_images_have_an_interval_of_closed_form() -> None:
    # both, or one of them twice: a quarter of the draws each, so the extremes are within any usual level
    assert bootstrap_interval("mse", [0.1, 0.3]) == pytest.approx((0.1, 0.3))
    assert bootstrap_interval("mse", [0.1, 0.3], level=0.4) == pytest.approx((0.2, 0.2))


def test_many_images_have_the_interval_of_the_normal_law() -> None:
    values = psnrs(400)
    half = 1.96 * values.std() / math.sqrt(len(values))
    low, high = bootstrap_interval("psnr-mean", values) or (0, 0)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)


@settings(max_examples=30)
@given(several, st.randoms(use_true_random=False))
def test_the_interval_is_of_the_images_whatever_their_order(mses: list[float], chance: object) -> None:
    values = [-10 * math.log10(error) for error in mses]
    found = bootstrap_interval("psnr", values)
    chance.shuffle(values)  # type: ignore[attr-defined]
    assert bootstrap_interval("psnr", values) == found


@settings(max_examples=30)
@given(several)
def test_the_interval_holds_the_average_and_is_held_by_the_images(mses: list[float]) -> None:
    values = [-10 * math.log10(error) for error in mses]
    for metric in ("psnr", "psnr-mean"):
        low, high = bootstrap_interval(metric, values) or (0, 0)
        assert min(values) - 1e-9 <= low <= average(metric, values) + 1e-9
        assert average(metric, values) - 1e-9 <= high <= max(values) + 1e-9


def test_the_interval_of_a_psnr_is_that_of_its_mse() -> None:
    values = psnrs(20)
    low, high = bootstrap_interval("mse", 10 ** (-values / 10)) or (0, 0)
    assert bootstrap_interval("psnr", values) == pytest.approx((-10 * math.log10(high), -10 * math.log10(low)))


def test_a_higher_level_gives_a_wider_interval() -> None:
    (low, high), (lowest, highest) = (bootstrap_interval("psnr", psnrs(20), level) or (0, 0) for level in (0.8, 0.99))
    assert lowest < low < high < highest


@pytest.mark.parametrize("values", [[], [20.0], [20.0, math.nan], [20.0, -math.inf]])
def test_one_image_or_a_number_that_is_none_has_no_interval(values: list[float]) -> None:
    assert bootstrap_interval("psnr", values) is None


def test_exact_images_are_no_stumbling_block_to_the_interval() -> None:
    assert bootstrap_interval("psnr", [math.inf, math.inf]) == (math.inf, math.inf)
    low, high = bootstrap_interval("psnr", [math.inf, 20.0]) or (0, 0)
    assert (low, high) == (pytest.approx(20), math.inf)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    sets = np.random.default_rng(0).exponential(size=(400, 50))
    found = [bootstrap_interval("mse", values) or (0, 0) for values in sets]
    assert 0.9 <= np.mean([low <= 1 <= high for low, high in found]) <= 0.97


def test_a_large_table_takes_no_time() -> None:
    start = perf_counter()
    for seed in range(100):
        bootstrap_interval("psnr", psnrs(100, seed))
    assert perf_counter() - start < 1


@settings(max_examples=30)
@given(several, st.floats(-3, 3))
def test_images_drawn_together_hide_what_they_share(values: list[float], shift: float) -> None:
    moved = [value + shift for value in values]
    assert difference_interval("mse", moved, values, paired=True) == pytest.approx((shift, shift), abs=1e-9)


def test_images_drawn_independently_have_the_interval_of_the_normal_law() -> None:
    left, right = psnrs(400, seed=1), psnrs(400, seed=2)
    half = 1.96 * math.sqrt(left.var() / 400 + right.var() / 400)
    middle = left.mean() - right.mean()
    found = difference_interval("psnr-mean", left, right, paired=False)
    assert found == pytest.approx((middle - half, middle + half), abs=0.06 * half)


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6), st.floats(0.1, 10))
def test_a_ratio_of_images_drawn_together_hides_what_they_share(values: list[float], times: float) -> None:
    found = ratio_interval("mse", [value * times for value in values], values, paired=True)
    assert found == pytest.approx((times, times))


def test_a_ratio_has_the_interval_of_the_delta_method() -> None:
    left, right = psnrs(400, seed=1), psnrs(400, seed=2)
    parts = [values.var() / 400 / values.mean() ** 2 for values in (left, right)]
    middle = left.mean() / right.mean()
    half = 1.96 * middle * math.sqrt(sum(parts))
    found = ratio_interval("psnr-mean", left, right, paired=False)
    assert found == pytest.approx((middle - half, middle + half), abs=0.06 * half)


def test_a_ratio_has_no_interval_for_one_image_or_if_the_right_side_may_be_zero() -> None:
    assert ratio_interval("mse", [1.0], [1.0, 2.0], paired=False) is None
    assert ratio_interval("mse", [1.0, 2.0], [0.0, 2.0], paired=False) is None
    assert ratio_interval("mse", [1.0, 2.0], [-1.0, 2.0], paired=True) is None


def test_a_difference_has_no_interval_for_one_image_or_what_is_not_finite() -> None:
    assert difference_interval("psnr", [20.0], [20.0, 21.0], paired=False) is None
    assert difference_interval("psnr", [20.0, math.nan], [20.0, 21.0], paired=True) is None
    assert difference_interval("psnr", [math.inf, math.inf], [20.0, 21.0], paired=True) is None
