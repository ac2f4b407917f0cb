"""Counts, on a CPU, the operations after which a CPU would have to wait for a GPU."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "lift_fresh", "equal"}
"""They return numbers or shapes that depend on values, or make a tensor of Python's numbers."""


class Waits(TorchDispatchMode):
    """Collects the operations in its block that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in WAITS:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))
