"""Images -> observations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reprior.machine.files import load_tensors, save_tensors
from reprior.operators import make_operator
from reprior.operators.noise import observed


def observe(images: Path, case: Mapping[str, Any], out: Path) -> None:
    """Measure one batch of images: y = A x + e, clipped to [0, 1] if `clip` says so.

    The noise e has deviation `noise` or expected norm `noise_norm`.
    """
    tensors, meta = load_tensors(images)
    x, ids = tensors["images"], meta["ids"]
    operator = make_operator(case["study"], case["case"], case["operator"], x.shape[1:])
    y = observed(operator, x, case, ids)
    kept = {"y": y, "picture": operator.picture(y), "mask": getattr(operator, "mask", None)}
    save_tensors(
        out,
        {name: tensor for name, tensor in kept.items() if tensor is not None},
        {**case, "ids": ids, "image_shape": list(x.shape[1:])},
    )
