"""Memory that a job asks of the scheduler. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from reprior.planning.plan import CasePlan, Cell, Plan, batch_range
from reprior.planning.step_times import TABLE, Row, Work, image_size, read_rows
from reprior.planning.study import Spec

_TORCH, _CUDA = 560, 3_000
"""MiB of a process that has imported torch, measured; what CUDA adds to it, not measured."""
_PER_PIXEL = 6_000
"""Bytes a pixel of an image whose kind of work was not measured; 3,000 to 9,000 were, and 24,000 of `dip`."""
_MARGIN, _STEP = 1.1, 500


class _Kind(NamedTuple):
    """What the memory of an image depends on, once the operator's matrix is counted apart."""

    stage: str
    method: str
    generator: str
    size: int


def memory_mb(plan: Plan, case: CasePlan, cell: Cell | None, batch: str, on_gpu: bool = False) -> int:
    """What one batch needs of the machine's memory to be observed or, given a cell, reconstructed.

    torch, a Gaussian operator's matrix, and for each image as much as the same method and generator took at that size
    on a CPU; a tenth more, in steps of 500. Of a job on a GPU what the images take is the GPU's memory and not counted.
    Without a known image size 1024 pixels are assumed.
    """
    size = image_size(plan, case) or 1024
    kind = _kind(plan, case, cell, size)
    first, last = batch_range(batch)
    images = (last - first + 1) * _image_mib(plan.root / TABLE, kind)
    needed = _TORCH + _matrix_mib(case.operator, size) + (_CUDA if on_gpu else images)
    return math.ceil(needed * _MARGIN / _STEP) * _STEP


def _kind(plan: Plan, case: CasePlan, cell: Cell | None, size: int) -> _Kind:
    if cell is None:
        return _Kind("observe", "", "", size)
    generator = plan.studies[case.study].generators[cell.generator] if cell.generator else None
    return _Kind(*Work("reconstruct", size, method=cell.spec, generator=generator).key[:4])


def _image_mib(table: Path, kind: _Kind) -> float:
    return _measured(table).get(kind, _PER_PIXEL * kind.size**2 / 2**20)


@cache
def _measured(table: Path) -> Mapping[_Kind, float]:
    """By kind of work, MiB an image: the most with any operator, on a CPU."""
    found: dict[_Kind, float] = {}
    for row in read_rows(table):
        if row.stage != "evaluate" and row.device.startswith("cpu"):
            kind = _Kind(row.stage, row.method, row.generator, row.size)
            found[kind] = max(found.get(kind, 0.0), _above_torch(row) / row.images)
    return found


def _above_torch(row: Row) -> float:
    """MiB that a measured batch took besides torch and the operator's matrix."""
    name, *settings = row.operator.split(" ")
    operator: Spec = {"name": name, **dict(setting.split("=") for setting in settings)}
    return max(0.0, row.peak_mib - _TORCH - _matrix_mib(operator, row.size))


def _matrix_mib(operator: Spec, size: int) -> float:
    """Only a Gaussian operator holds a matrix, m x n in float32."""
    if operator["name"] != "gaussian":
        return 0.0
    n = 3 * size**2
    measurements = operator.get("measurements")
    m = float(operator["ratio"]) * n if measurements is None else float(measurements)
    return 4 * m * n / 2**20
