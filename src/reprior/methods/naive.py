"""The naive inverse, without any prior."""

from __future__ import annotations

from typing import Literal

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction


def naive(
    problem: Problem, *, kind: Literal["adjoint", "dagger", "observation"] = "adjoint", centred: bool = True
) -> Reconstruction:
    """x = A^T y (`adjoint`), x = A^+ y (`dagger`), or x = y (`observation`, if y is an image).

    IAGAN (Abu Hussein et al. 2020): "naive IFFT" of Table 1 is the adjoint: it fills what was not measured with zeros
    and inverts the transform. "Blurred" of Table 4 is the observation.

    The paper leaves open: on which scale zeros are filled in (`centred`: images in [-1, 1], where zero is mid-grey, as
    in the released code).
    """
    operator = problem.operator
    if kind == "observation" and operator.measurement_shape != operator.image_shape:
        raise UserError(
            f"method naive, kind: observation: y has shape {operator.measurement_shape}, but "
            f"images have shape {operator.image_shape}; use `kind: adjoint` or `kind: dagger`"
        )
    inverses = {"adjoint": operator.A_adjoint, "dagger": operator.A_dagger, "observation": lambda y: y}
    return Reconstruction(problem.inverted(inverses[kind], centred), status=("ok",) * len(problem))
