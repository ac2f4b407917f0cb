"""Averages over images."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprior.errors import UserError
from reprior.metrics.averaging import about, average

errors = st.lists(st.floats(1e-6, 1), min_size=1, max_size=20)


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
