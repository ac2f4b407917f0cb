"""Structural similarity as defined by Wang et al. (2004)."""

from __future__ import annotations

import numpy as np

from reprior.errors import UserError

LABEL = "SSIM"
BETTER = "higher"
FORMAT = ".4f"
WINDOW = 11


def ssim(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """SSIM of each image with the constants of Wang et al. (2004), [N, C, H, W] -> [N].

    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance, data range 1. The result is
    the mean over windows that lie inside the image, then over channels. The average over images is the mean.
    """
    from skimage.metrics import structural_similarity

    height, width = truth.shape[2:]
    if min(height, width) < WINDOW:
        raise UserError(
            f"ssim: images of {height} x {width} are smaller than its window of {WINDOW} x {WINDOW}; leave it out"
        )

    def one(a: np.ndarray, b: np.ndarray) -> float:
        return structural_similarity(
            a, b, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )

    return np.array([one(a, b) for a, b in zip(estimate.astype(np.float64), truth.astype(np.float64), strict=True)])
