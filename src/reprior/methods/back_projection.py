"""Back-projection: the nearest image that agrees with the observation."""

from __future__ import annotations

from typing import Literal

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction


def back_projection(
    problem: Problem, start: Reconstruction, *, dagger: Literal["exact", "bicubic"] = "exact"
) -> Reconstruction:
    """x_bp = A^+ (y - A x) + x, where x is another method's result: eq. (10) of IAGAN (Abu Hussein et al. 2020).

    With the `exact` A^+ this is argmin ||x_bp - x|| subject to A x_bp = y, eq. (9). Without noise, it never increases
    the error. `bicubic` uses bicubic upsampling instead of A^+, as the paper says for super-resolution and as its code
    does. A x_bp then equals y only roughly.

    The paper leaves open: nothing. Its formula is `exact`; its super-resolution numbers are those of `bicubic`.
    """
    operator, x = problem.operator, start.images
    inverse = operator.A_dagger if dagger == "exact" else getattr(operator, "upsample", None)
    if inverse is None:
        raise UserError(
            f"method back-projection, dagger: bicubic: operator {type(operator).__name__} does "
            "not downsample; use `dagger: exact`"
        )
    return Reconstruction(x + inverse(problem.y - operator.A(x)), start.latents, status=start.status)
