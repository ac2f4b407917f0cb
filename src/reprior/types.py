"""Types for settings. Does not import torch, so that a plan can be checked without it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

try:
    from pydantic import BeforeValidator, Field
except ModuleNotFoundError:  # only a plan checks settings, and `make gpu-check` makes none

    def Field(**limits: float) -> Any:  # type: ignore[no-redef] # noqa: N802
        """The limits of a type, unchecked."""
        return limits

    def BeforeValidator(function: Any) -> Any:  # type: ignore[no-redef] # noqa: N802
        """The conversion of a type, unused."""
        return function


def quotient(value: Any) -> Any:
    """The value of a text such as `10/255` or `2500/49152`, as papers write it. Anything else is unchanged."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*", value) if isinstance(value, str) else None
    return float(match[1]) / float(match[2]) if match and float(match[2]) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above zero, such as a learning rate."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A number of zero or more, such as a noise level."""
Fraction = Annotated[float, BeforeValidator(quotient), Field(gt=0, le=1)]
"""A number above 0 and up to 1, such as a compression ratio. May be written as a quotient."""
Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
Whole = Annotated[int, Field(ge=0)]
"""A whole number of at least 0."""
Precision = Literal["float32", "tf32", "bfloat16"]
"""In which precision networks compute: see `machine/precision.py`."""
