"""Types for settings. Free of torch, so that a plan can be checked without importing a method's module."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above zero, such as a learning rate."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A number of zero or more, such as a noise level."""
Fraction = Annotated[float, Field(gt=0, le=1)]
"""A share of a whole, such as a compression ratio."""
Count = Annotated[int, Field(ge=1)]
"""A number of things of which there must be one."""
Whole = Annotated[int, Field(ge=0)]
"""A number of things of which there may be none."""
