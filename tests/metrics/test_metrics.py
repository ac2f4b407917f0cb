"""MSE, PSNR and SSIM compared with closed forms and an independent implementation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from reprior.errors import UserError
from reprior.metrics import metric_id
from reprior.metrics.evaluation import evaluate
from reprior.metrics.mse import mse
from reprior.metrics.psnr import psnr
from reprior.metrics.ssim import ssim

NO_DOWNLOADS = Path("nowhere")


def drawn(seed: int, count: int = 2, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, size, size), dtype=np.float32)


@given(offset=st.floats(1e-3, 0.5), seed=st.integers(0, 99))
def test_a_constant_offset_has_the_mse_and_psnr_of_the_offset(offset: float, seed: int) -> None:
    truth = drawn(seed).astype(np.float64) / 2
    assert mse(truth + offset, truth) == pytest.approx([offset**2] * 2, rel=1e-9)
    assert psnr(truth + offset, truth) == pytest.approx([-20 * np.log10(offset)] * 2, rel=1e-9)


def test_an_exact_image_has_infinite_psnr_and_ssim_one() -> None:
    truth = drawn(0)
    assert np.all(np.isposinf(psnr(truth, truth)))
    assert ssim(truth, truth) == pytest.approx([1, 1])


def test_each_image_is_measured_alone() -> None:
    truth, estimate = drawn(1, 3), drawn(2, 3)
    for metric in (mse, psnr, ssim):
        alone = [metric(estimate[i : i + 1], truth[i : i + 1])[0] for i in range(3)]
        np.testing.assert_array_equal(metric(estimate, truth), alone)


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. (2004), equation 13, with every 11x11 window written out."""
    axis = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2

    def blur(x: np.ndarray) -> np.ndarray:
        return (sliding_window_view(x, (11, 11)) * window).sum(axis=(2, 3))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_ssim_is_the_one_of_wang(noise: float) -> None:
    truth = drawn(3, 2, 24).astype(np.float64)
    estimate = np.clip(truth + noise * np.random.default_rng(4).standard_normal(truth.shape), 0, 1)
    by_hand = [
        np.mean([ssim_by_hand(a, b) for a, b in zip(x, y, strict=True)]) for x, y in zip(estimate, truth, strict=True)
    ]
    assert ssim(estimate, truth) == pytest.approx(by_hand, abs=1e-6)


def test_estimates_are_clipped_before_they_are_measured() -> None:
    truth = np.ones((1, 3, 16, 16), dtype=np.float32)
    assert evaluate(truth + 5, truth, [{"name": "mse"}], NO_DOWNLOADS)["mse"] == pytest.approx([0])


def test_a_nan_pixel_stays_visible_and_is_its_own_images_affair() -> None:
    truth = drawn(5)
    estimate = truth.copy()
    estimate[1, 0, 3, 3] = np.nan
    found = evaluate(estimate, truth, [{"name": name} for name in ("mse", "psnr", "ssim")], NO_DOWNLOADS)
    for values in found.values():
        assert not np.isnan(values[0]) and np.isnan(values[1])


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match="shape"):
        evaluate(drawn(0, size=8), drawn(0, size=16), [{"name": "mse"}], NO_DOWNLOADS)


def test_the_id_names_the_network_where_there_is_one() -> None:
    assert metric_id({"name": "psnr"}) == "psnr"
    assert metric_id({"name": "lpips", "net": "squeeze"}) == "lpips-squeeze"


def test_metrics_without_a_network_do_not_import_torch() -> None:
    code = (
        "import sys, pathlib, numpy as np\n"
        "from reprior.metrics.evaluation import evaluate\n"
        "x = np.zeros((1, 3, 16, 16), np.float32)\n"
        "evaluate(x, x, [{'name': 'mse'}, {'name': 'psnr'}, {'name': 'ssim'}], pathlib.Path())\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
