"""The course of a training as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from reprior.machine.files import written_atomically

_POINTS = 400


def save_curves(path: Path, names: Sequence[str], numbers: Tensor, fits: Mapping[int, float], chosen: int) -> None:
    """Write one panel for each of the numbers [steps, K], and one for the candidates' fits {step: dB}.

    A curve has at most 400 points. Each is the mean over the same number of steps.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(6, 1.3 * (len(names) + 1)))
    panels = figure.subplots(len(names) + 1, 1, sharex=True)
    steps, means = _thinned(numbers.cpu().double().numpy())
    for panel, name, curve in zip(panels, names, means.T, strict=False):
        panel.plot(steps, curve)
        panel.set_ylabel(name.replace("_", "\n"))
    panels[-1].plot(list(fits), list(fits.values()), "o-")
    panels[-1].axvline(chosen, color="#D55E00", linestyle=":")
    panels[-1].set_ylabel("held-out\nfit (dB)")
    panels[-1].set_xlabel(f"step (dotted: the chosen candidate, {chosen})")
    figure.align_ylabels(panels)
    with written_atomically(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None}, bbox_inches="tight")
    pyplot.close(figure)


def _thinned(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages [steps, K] over equal stretches; the last may be shorter. Their last steps [P], and the means [P, K]."""
    stretch = -(-len(numbers) // _POINTS)
    starts = np.arange(0, len(numbers), stretch)
    lengths = np.diff([*starts, len(numbers)])
    return starts + lengths, np.add.reduceat(numbers, starts) / lengths[:, None]
