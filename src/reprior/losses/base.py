"""What a loss offers, and the weighted sum of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from reprior.loading import call
from reprior.operators.base import Operator


class Loss(ABC):
    """How far images are from what was observed.

    A subclass in `losses/<name>.py` is made once per job. Its positional arguments are any of `y` [N, ...], `operator`
    and `raw`, the folder of downloads; its keyword-only arguments are its settings. What does not change from step to
    step is computed there.
    """

    @abstractmethod
    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """Images [N, C, H, W] and their measurements [N, ...] -> [N]."""


class WeightedSum:
    """sum_i weight_i loss_i(x) per image, as `loss` of a method in a study lists them. A is applied once."""

    def __init__(self, specs: Sequence[Mapping[str, Any]], y: Tensor, operator: Operator, raw: Path) -> None:
        self.operator = operator
        given = {"y": y, "operator": operator, "raw": raw}
        settings = [{key: value for key, value in spec.items() if key != "weight"} for spec in specs]
        self.losses: list[Loss] = [call("loss", spec, given) for spec in settings]
        self.weights = [spec.get("weight", 1.0) for spec in specs]

    def __call__(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N]"""
        Ax = self.operator.A(x)
        first, *others = (
            loss(x, Ax) if weight == 1 else weight * loss(x, Ax)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )
        return sum(others, start=first)
