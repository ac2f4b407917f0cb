"""The number of measurements of operators that state it as m or as m/n."""

from __future__ import annotations

from reprior.errors import UserError


def measurement_count(operator: str, n: int, ratio: float | None, measurements: int | None) -> int:
    """m, from `ratio` = m/n or `measurements` = m. UserError unless one of them is given and 1 <= m <= n."""
    if (ratio is None) == (measurements is None):
        raise UserError(f"operator {operator}: give either `ratio` or `measurements`")
    m = measurements if ratio is None else round(ratio * n)
    if m is None or not 1 <= m <= n:
        raise UserError(f"operator {operator}: {m} measurements of {n} pixel values; there must be from 1 to {n}")
    return m
