"""Losses: what a method minimises, one file each. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT: Sequence[Mapping[str, Any]] = ({"name": "squared-error"},)
"""The loss of a method for which the study names none."""
