"""Losses: what a method minimises, one file each. This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT: Sequence[Mapping[str, Any]] = ({"name": "squared-error"},)
"""The loss if the study names none."""
