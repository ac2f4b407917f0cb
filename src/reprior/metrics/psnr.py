"""Peak signal-to-noise ratio for images in [0, 1]."""

from __future__ import annotations

import numpy as np

from reprior.metrics.mse import mse

LABEL = "PSNR [dB]"
BETTER = "higher"
FORMAT = ".2f"


def psnr(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """10 log10(1 / MSE) of each image, [N, C, H, W] -> [N]; infinite if the image is exact.

    The average over images is that of IAGAN (footnote 3): 10 log10(1 / mean MSE), see `average`.
    """
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(estimate, truth))
