"""Types for settings. Free of torch, so that a plan can be checked without importing a method's module."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def quotient(value: Any) -> Any:
    """Numbers may be written as the papers do, `10/255` or `2500/49152`; anything else is left as it is."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*", value) if isinstance(value, str) else None
    return float(match[1]) / float(match[2]) if match and float(match[2]) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above zero, such as a learning rate."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A number of zero or more, such as a noise level."""
Fraction = Annotated[float, BeforeValidator(quotient), Field(gt=0, le=1)]
"""A share of a whole, such as a compression ratio; may be written as a quotient."""
Count = Annotated[int, Field(ge=1)]
"""A number of things of which there must be one."""
Whole = Annotated[int, Field(ge=0)]
"""A number of things of which there may be none."""
