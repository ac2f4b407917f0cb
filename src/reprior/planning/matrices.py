"""Matrices that are designed for a generator. A job makes each, once for all cases, studies and scales that use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprior.errors import UserError
from reprior.planning import plugins
from reprior.planning.study import Spec

MATRIX = "matrix"
"""The setting of an operator that is the file of its matrix."""


@dataclass(frozen=True)
class Matrix:
    """One file, and what it is made from."""

    file: str
    operator: Spec
    """The operator that designs it, with the settings of its `design`."""
    generator: Spec
    """The generator, with its file of weights."""

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return Path(self.file).stem


def design_settings(operator: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings that a design depends on: `DESIGNED_FOR_GENERATOR` of its module. None: it is not designed."""
    return tuple(plugins.plugin("operator", operator["name"]).constants.get("DESIGNED_FOR_GENERATOR", ()))


def matrix_for(operator: Spec, generator: Spec, data: Path) -> Matrix:
    """The matrix of an operator for a generator."""
    settings = {name: operator[name] for name in design_settings(operator)}
    stem = "-".join(map(str, [Path(generator["weights"]).stem, *settings.values()]))
    file = data / "matrices" / f"{stem}.safetensors"
    return Matrix(file.as_posix(), {"name": operator["name"], **settings}, generator)


def check_unset(operator: Spec, path: Path, key: str) -> None:
    """UserError if the user names the file of a matrix that a job makes."""
    if MATRIX in operator and design_settings(operator):
        raise UserError(f"{path}: {key}.{MATRIX}: the plan names this file, after the generator; remove the line")


def check_files(matrices: Iterable[tuple[str, Matrix]]) -> None:
    """UserError if two cases would make one file from different generators. Each matrix comes with its case."""
    first: dict[str, tuple[str, Matrix]] = {}
    for case, matrix in matrices:
        other, known = first.setdefault(matrix.file, (case, matrix))
        if known != matrix:
            raise UserError(
                f"{matrix.file}: the cases {other} and {case} would both make it, but their generators differ:"
                f" {_differing(known, matrix)}; give one of them weights with another file name"
            )


def _differing(one: Matrix, two: Matrix) -> str:
    pairs = ((one.generator, two.generator), (one.operator, two.operator))
    return "; ".join(
        f"{key} is {a.get(key)!r} and {b.get(key)!r}"
        for a, b in pairs
        for key in {**a, **b}
        if a.get(key) != b.get(key)
    )
