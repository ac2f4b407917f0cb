"""The memory that a job requests from the scheduler. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from reprior.planning.matrices import design_settings
from reprior.planning.plan import CasePlan, Cell, Plan, batch_range
from reprior.planning.step_times import TABLE, Row, Work, image_size, read_rows
from reprior.planning.study import Spec

_TORCH, _CUDA = 650, 3_000
"""MiB of a process that has imported torch and runs a method on one small image (measured: 590 to 650), and what CUDA
adds to it (not measured)."""
_PER_PIXEL = 6_000
"""Bytes per pixel for work that was not measured. Measured values are 3,000 to 9,000, and 24,000 for `dip`."""
_MARGIN, _STEP = 1.1, 500


class _Kind(NamedTuple):
    """What the memory per image depends on. The operator's matrix is counted separately."""

    stage: str
    method: str
    generator: str
    size: int


def memory_mb(plan: Plan, case: CasePlan, cell: Cell | None, batch: str, on_gpu: bool = False) -> int:
    """MB of main memory that one batch needs to be observed or, given a cell, reconstructed.

    The sum of torch, a Gaussian operator's matrix, and what each image took with the same method, generator and size on
    a CPU; plus a tenth, rounded up to steps of 500. On a GPU the images use the GPU's memory, which is not counted.
    If the image size is not known, 1024 pixels are assumed.
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
    networks = plan.trained(case, cell)
    generator = networks.pop("generator", None)
    return _Kind(*Work("reconstruct", size, method=cell.spec, generator=generator, networks=networks).key[:4])


def _image_mib(table: Path, kind: _Kind) -> float:
    return _measured(table).get(kind, _PER_PIXEL * kind.size**2 / 2**20)


@cache
def _measured(table: Path) -> Mapping[_Kind, float]:
    """MiB per image by kind of work: the maximum over operators, on a CPU."""
    found: dict[_Kind, float] = {}
    for row in read_rows(table):
        if row.stage != "evaluate" and row.device.startswith("cpu"):
            kind = _Kind(row.stage, row.method, row.generator, row.size)
            found[kind] = max(found.get(kind, 0.0), _above_torch(row) / row.images)
    return found


def _above_torch(row: Row) -> float:
    """MiB that a measured batch took in addition to torch and the operator's matrix."""
    name, *settings = row.operator.split(" ")
    operator: Spec = {"name": name, **dict(setting.split("=") for setting in settings)}
    return max(0.0, row.peak_mib - _TORCH - _matrix_mib(operator, row.size))


def _matrix_mib(operator: Spec, size: int) -> float:
    """MiB of an operator's matrix: m x n in float32. Only a Gaussian and a designed operator have one."""
    if operator["name"] != "gaussian" and not design_settings(operator):
        return 0.0
    n = 3 * size**2
    measurements = operator.get("measurements")
    m = float(operator["ratio"]) * n if measurements is None else float(measurements)
    return 4 * m * n / 2**20
