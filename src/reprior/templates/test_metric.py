"""What a metric must do: give a known number, and measure each image by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprior.loading import load
from reprior.planning import plugin_folders

FOLDER = Path(__file__).parents[1]


def measured(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    plugin_folders.use([FOLDER])
    values: np.ndarray = load("metric", "new-metric")(estimate, truth)
    return values


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((3, 3, 8, 8), dtype=np.float32)


def test_a_known_error_has_its_number() -> None:
    truth = np.zeros((1, 3, 8, 8), np.float32)
    estimate = truth.copy()
    estimate[0, 1, 2, 3] = 0.25
    np.testing.assert_allclose(measured(estimate, truth), [0.25])


def test_an_exact_image_has_no_error() -> None:
    np.testing.assert_array_equal(measured(drawn(0), drawn(0)), [0, 0, 0])


def test_each_image_is_measured_by_itself() -> None:
    estimate, truth = drawn(0), drawn(1)
    alone = [measured(estimate[i : i + 1], truth[i : i + 1])[0] for i in range(3)]
    np.testing.assert_array_equal(measured(estimate, truth), alone)
