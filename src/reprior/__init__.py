"""reprior: GAN priors for imaging inverse problems, from downloads to tables.

In Python: `operator`, `observe`, `generator`, `restore` and `measure` (docs/python.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprior.api import UserError, generator, measure, observe, operator, restore

__version__ = "0.1.0"
__all__ = ["UserError", "generator", "measure", "observe", "operator", "restore"]


def __getattr__(name: str) -> Any:
    """The functions of `reprior.api`. They need torch, so they are imported at their first use."""
    if name in __all__:
        return getattr(importlib.import_module("reprior.api"), name)
    raise AttributeError(f"module 'reprior' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
