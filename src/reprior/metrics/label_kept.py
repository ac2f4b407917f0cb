"""Whether a reconstructed digit is still that digit, as a classifier sees it that is provably robust."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprior.errors import UserError

LABEL = "digit kept"
BETTER = "higher"
FORMAT = ".2f"
SOURCES = ("classifiers/mnist.pth",)
IMAGE_SHAPE = (1, 28, 28)
"""`evaluate` leaves this metric out for all other images."""


def label_kept(estimate: np.ndarray, truth: np.ndarray, raw: Path) -> np.ndarray:
    """1 if f(x) = f(x0), else 0, for each image; f is the digit that the classifier sees. [N, 1, 28, 28] -> [N].

    The average over images is the share of digits kept. NaN if an estimate is not finite, as for all metrics. The
    classifier errs on some originals, too, so the label is compared with that of the original, not with the true one.
    """
    import torch

    from reprior.networks.robust import labels

    if estimate.shape[1:] != IMAGE_SHAPE:
        raise UserError(
            f"label-kept is for digits of shape {IMAGE_SHAPE}, but the images have {estimate.shape[1:]}; "
            "remove it from the study's `metrics`"
        )
    seen, wanted = (
        labels(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), raw / SOURCES[0]).numpy()
        for images in (estimate, truth)
    )
    return np.where(np.isfinite(estimate).all(axis=(1, 2, 3)), (seen == wanted).astype(np.float64), np.nan)
