"""The masks of Fourier operators (IAGAN's Fig. 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprior.errors import UserError
from reprior.machine.files import load_arrays
from reprior.render import style

if TYPE_CHECKING:
    import numpy as np

    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "images"


def masks(context: Context, *, title: str, cases: list[str], caption: str = "") -> None:
    """Draw one mask per case: white where a coefficient is measured, the constant component at the centre."""
    figure = style.new_figure(2.3 * len(cases), 2.5)
    shares = []
    for index, case in enumerate(cases):
        axes = figure.add_subplot(1, len(cases), index + 1)
        axes.set(xticks=[], yticks=[], title=context.cases[case]["label"])
        if context.gap(case):
            axes.text(0.5, 0.5, context.gap(case), ha="center", va="center", wrap=True, color=style.GREY)
            continue
        mask = _mask(context, case)
        share = f"{mask.mean():.1%} of {mask.shape[0]} x {mask.shape[1]} coefficients"
        axes.imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xlabel(share)
        shares.append(f"{context.cases[case]['label']}: {share}")
    style.save(context, figure, ["White: measured. The constant component is at the centre."])
    alt = f"{title}. White where a coefficient is measured, the constant component at the centre. {'; '.join(shares)}."
    context.write_sidecar([], {"figure": {"alt": alt}})


def _mask(context: Context, case: str) -> np.ndarray:
    """The mask of a case's operator, [H, W], centred."""
    import numpy as np

    path = context.folder / case / "observation" / f"{context.cases[case]['batches'][0]}.safetensors"
    arrays, _ = load_arrays(path)
    if "mask" not in arrays:
        name = context.cases[case]["operator"]["name"]
        raise UserError(f"{path}: the operator {name} has no mask; show it in an artifact of another kind")
    return np.fft.fftshift(arrays["mask"]).astype(float)
