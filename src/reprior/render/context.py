"""What an artifact kind is given: the results of its cases, what the paper says, and where to write."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any

from reprior.errors import UserError
from reprior.machine.files import read_json, write_json, written_atomically
from reprior.metrics.averaging import about, average, bootstrap_interval

KEPT = (
    *("study", "study_title", "scale", "scale_title", "comparable", "note"),
    *("artifact", "kind", "settings", "cases", "folder"),
)
"""What a sidecar takes over from the spec of its artifact."""

Interval = tuple[float, float]
"""The lowest and the highest of what an average may be."""


@dataclass(frozen=True)
class Cell:
    """What is known of one method on one case."""

    values: Mapping[str, Mapping[str, float]]
    """{metric: {image: value}}"""
    records: Sequence[Mapping[str, Any]]
    """What each job wrote about itself, one a batch."""

    @property
    def metrics(self) -> list[str]:
        """Every metric that can be averaged: those of each image, and `psnr-mean`."""
        return [*self.values, *(["psnr-mean"] if "psnr" in self.values else [])]

    def by_image(self, metric: str) -> Mapping[str, float]:
        """{image: number}; empty where the metric was not computed."""
        return self.values.get("psnr" if metric == "psnr-mean" else metric, {})

    def numbers(self, metric: str) -> list[float]:
        """One number an image; none where the metric was not computed."""
        return list(self.by_image(metric).values())

    def average(self, metric: str) -> float | None:
        """The average over images; None where the metric was not computed."""
        numbers = self.numbers(metric)
        return average(metric, numbers) if numbers else None

    def interval(self, metric: str) -> Interval | None:
        """The 95% bootstrap interval of the average; None for what depends on the machine more than on the images."""
        numbers = self.numbers(metric)
        return bootstrap_interval(metric, numbers) if numbers and about(metric).interval else None

    @property
    def status(self) -> dict[str, str]:
        """{image: `ok`, `diverged` or `stopped`}"""
        return {
            image: state
            for record in self.records
            for image, state in zip(record["ids"], record["status"], strict=True)
        }

    @property
    def remark(self) -> str:
        """Which images did not end well: `2 of 4 images diverged`; empty if all did."""
        states = list(self.status.values())
        bad = [state for state in dict.fromkeys(states) if state != "ok"]
        return ", ".join(f"{states.count(state)} of {len(states)} images {state}" for state in bad)


@dataclass(frozen=True)
class Reported:
    """A number of the paper, or none, and what is to be said about it."""

    text: str = ""
    """As the paper writes it."""
    note: str = ""

    @property
    def value(self) -> float | None:
        """The number itself."""
        return float(self.text) if self.text else None

    @property
    def rounding(self) -> float:
        """Half of its last digit: how far from it the number before rounding may be."""
        exponent = Decimal(self.text).as_tuple().exponent
        return 0.5 * 10.0 ** int(exponent)


class Context:
    """One artifact in the making."""

    def __init__(self, spec: Mapping[str, Any], reported: Path, out: Path) -> None:
        self.spec = spec
        self.out = out
        self.folder = Path(spec["folder"])
        self.note = str(spec["note"])
        self.comparable = bool(spec["comparable"])
        self.cases: Mapping[str, Any] = spec["cases"]
        self._reported = reported
        self._cells: dict[tuple[str, str], Cell] = {}

    def label(self, method: str) -> str:
        """How a method is called in tables and figures."""
        return str(self.spec["methods"][method]["label"])

    def gap(self, case: str, method: str | None = None) -> str:
        """Why a case, or a method on it, has no results; empty if it has."""
        if self.cases[case]["gap"]:
            return str(self.cases[case]["gap"])
        if method is not None and method not in self.cases[case]["methods"]:
            return "not part of this case"
        return ""

    def metric_gap(self, metric: str) -> str:
        """Why a metric could not be computed; empty if it could."""
        return str(self.spec["metric_gaps"].get(metric, ""))

    def cell(self, case: str, method: str) -> Cell:
        """The results of a method on a case, read once."""
        key = (case, method)
        if key not in self._cells:
            files = [self.folder / case / method / batch for batch in self.cases[case]["batches"]]
            records = [read_json(file.with_name(f"{file.name}.json")) for file in files]
            self._cells[key] = Cell(_values([file.with_name(f"{file.name}.csv") for file in files]), records)
        return self._cells[key]

    def metric(self, name: str, cases: Sequence[str], methods: Sequence[str]) -> str:
        """The full id of a metric: `lpips` is whichever network's there is in the results."""
        filled = [self.cell(case, method) for case, method in self.filled(cases, methods)]
        known = {metric for cell in filled for metric in cell.values} | set(self.spec["metric_gaps"])
        if name in known or name == "psnr-mean":
            return name
        variants = sorted(metric for metric in known if metric.startswith(f"{name}-"))
        return variants[0] if len(variants) == 1 else name

    def filled(self, cases: Sequence[str], methods: Sequence[str]) -> list[tuple[str, str]]:
        """The pairs of case and method that have results."""
        return [(case, method) for case in cases for method in methods if not self.gap(case, method)]

    def values(self, case: str, method: str, metric: str) -> list[float]:
        """One number an image; none where the metric was not computed."""
        return self.cell(case, method).numbers(metric)

    def reported(self, case: str, method: str, metric: str) -> Reported:
        """What the paper reports in this artifact; its `lpips` stands beside any of our networks."""
        base = "lpips" if metric.startswith("lpips-") else metric
        names = ((case, method, metric), (case, method, base))
        return next((self._paper[name] for name in names if name in self._paper), Reported())

    @cached_property
    def _paper(self) -> dict[tuple[str, str, str], Reported]:
        if not self._reported.exists():
            return {}  # a study of one's own has no paper to be held against
        rows = _rows(self._reported, ("artifact", "case", "method", "metric", "value", "note"))
        return {
            (row["case"], row["method"], row["metric"]): self._number(row["value"], row["note"])
            for row in rows
            if row["artifact"] == self.spec["artifact"]
        }

    def _number(self, text: str, note: str) -> Reported:
        try:
            if Decimal(text).is_finite():
                return Reported(text.strip(), note)
        except InvalidOperation:
            pass
        raise UserError(f"{self._reported}: the value `{text}` is not a number; write it with the paper's digits")

    @contextmanager
    def writing(self, suffix: str) -> Iterator[Path]:
        """A temporary path that becomes `out` + suffix when the block succeeds."""
        with written_atomically(self.path(suffix)) as temporary:
            yield temporary

    def path(self, suffix: str) -> Path:
        """`out` + suffix."""
        return self.out.with_name(self.out.name + suffix)

    def write_sidecar(self, methods: Sequence[str], content: Mapping[str, Any]) -> None:
        """Write `out`.json: the artifact's origin, its cells with numbers and commands, and its `content`."""
        kept = {key: self.spec[key] for key in KEPT}
        cells = {
            case: {method: self._cell_record(case, method) for method in methods if not self.gap(case, method)}
            for case in self.cases
        }
        labels = {method: self.label(method) for method in methods}
        sidecar = {**kept, "methods": list(methods), "labels": labels, "cells": cells, **content}
        write_json(self.path(".json"), plain(sidecar))

    def _cell_record(self, case: str, method: str) -> dict[str, Any]:
        cell = self.cell(case, method)
        return {
            "averages": {metric: cell.average(metric) for metric in cell.metrics},
            "intervals": {metric: cell.interval(metric) for metric in cell.metrics},
            "values": cell.values,
            "status": cell.status,
            "records": cell.records,
        }


def plain(content: Any) -> Any:
    """The same with `nan`, `inf` and `-inf` as text, since JSON has no such numbers; `float` reads them back."""
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    if isinstance(content, Mapping):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return content


def _values(paths: Sequence[Path]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for path in paths:
        for row in _rows(path, ("image", "metric", "value")):
            found.setdefault(row["metric"], {})[row["image"]] = float(row["value"])
    return found


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"{path}: lacks the columns {', '.join(sorted(missing))}; expected {', '.join(columns)}")
        return list(reader)
