"""Mean squared error, the quantity of IAGAN's Fig. 2."""

from __future__ import annotations

import numpy as np

LABEL = "MSE"
BETTER = "lower"
FORMAT = ".5f"


def mse(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean of (estimate - truth)^2 over channels and pixels, [N, C, H, W] -> [N]. Averaged over images by the mean."""
    return np.square(estimate.astype(np.float64) - truth).mean(axis=(1, 2, 3))
