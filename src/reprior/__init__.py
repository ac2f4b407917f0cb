"""reprior: GAN priors for imaging inverse problems, from downloads to tables.

In Python: `operator`, `observe`, `generator`, `restore`, `measure` and `compare` (docs/python.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprior.api import UserError, generator, measure, observe, operator, restore
    from reprior.api.comparison import compare

__version__ = "0.1.0"
__all__ = ["UserError", "compare", "generator", "measure", "observe", "operator", "restore"]


def __getattr__(name: str) -> Any:
    """The functions of `reprior.api` and `compare`. They need torch, so they are imported at their first use."""
    if name in __all__:
        module = "api.comparison" if name == "compare" else "api"
        return getattr(importlib.import_module(f"reprior.{module}"), name)
    raise AttributeError(f"module 'reprior' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
