"""Bicubic upsampling, the baseline of super-resolution."""

from __future__ import annotations

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction


def bicubic(problem: Problem, *, centred: bool = True) -> Reconstruction:
    """x = upsample(y): PyTorch's bicubic interpolation, a = -3/4.

    IAGAN (Abu Hussein et al. 2020), Tables 2 and 3.

    The paper leaves open: which interpolation (ours: the one that its released code uses for A^+); what lies beyond
    the border (with `centred` mid-grey, as in the released code, whose images lie in [-1, 1] and whose A pads with
    zeros; otherwise black).
    """
    upsample = getattr(problem.operator, "upsample", None)
    if upsample is None:
        name = type(problem.operator).__name__
        raise UserError(
            "method bicubic needs an operator that downsamples, such as {name: bicubic, scale: 4}, not"
            f" {name}; remove the method from the case or use `naive`"
        )
    return Reconstruction(problem.inverted(upsample, centred), status=("ok",) * len(problem))
