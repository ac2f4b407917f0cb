"""Forward operators: one per file, found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reprior.loading import load
from reprior.seeds import SHARED, rng_for

if TYPE_CHECKING:
    from reprior.operators.base import Operator


def make_operator(study: str, case: str, spec: Mapping[str, Any], image_shape: Sequence[int]) -> Operator:
    """The operator of a case: one for all its images, made with the case's own seed."""
    settings = dict(spec)
    name = settings.pop("name")
    operator: Operator = load("operator", name)(
        tuple(image_shape), rng_for(study, case, SHARED, "operator"), **settings
    )
    return operator
