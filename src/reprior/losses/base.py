"""The base class of losses, and the weighted sum of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from reprior.loading import call
from reprior.operators.base import Operator


class Loss(ABC):
    """The distance between images and the observation.

    A subclass in `losses/<name>.py` is made once per job. Its positional arguments are any of `y` [N, ...], `operator`
    and `raw`, the folder of downloads; its keyword-only arguments are its settings. The constructor computes what stays
    the same in every step.
    """

    @abstractmethod
    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """Images [N, C, H, W] and their measurements [N, ...] -> [N]."""


class WeightedSum:
    """sum_i weight_i loss_i(x) per image, over the losses that a study lists under `loss`."""

    def __init__(self, specs: Sequence[Mapping[str, Any]], y: Tensor, operator: Operator, raw: Path) -> None:
        given = {"y": y, "operator": operator, "raw": raw}
        settings = [{key: value for key, value in spec.items() if key != "weight"} for spec in specs]
        self.losses: list[Loss] = [call("loss", spec, given) for spec in settings]
        self.weights = [spec.get("weight", 1.0) for spec in specs]

    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """Images [N, C, H, W] and their measurements [N, ...] -> [N]."""
        first, *others = (
            loss(x, Ax) if weight == 1 else weight * loss(x, Ax)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )
        return sum(others, start=first)
