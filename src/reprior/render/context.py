"""What an artifact kind gets: the results of its cases, the numbers of the paper, and where to write."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.machine.files import read_json, write_json, written_atomically
from reprior.metrics.averaging import about, average, bootstrap_interval

if TYPE_CHECKING:
    from pandas import DataFrame

KEPT = (
    *("study", "study_title", "scale", "scale_title", "comparable", "note"),
    *("artifact", "kind", "settings", "cases", "folder"),
)
"""What a sidecar copies from the spec of its artifact."""

Interval = tuple[float, float]
"""Low and high end."""


@dataclass(frozen=True)
class Cell:
    """The results of one method on one case."""

    values: Mapping[str, Mapping[str, float]]
    """{metric: {image: value}}"""
    records: Sequence[Mapping[str, Any]]
    """What each job wrote about itself, one per batch."""

    @property
    def metrics(self) -> list[str]:
        """Every metric that can be averaged: those computed per image, and `psnr-mean`."""
        return [*self.values, *(["psnr-mean"] if "psnr" in self.values else [])]

    def by_image(self, metric: str) -> Mapping[str, float]:
        """{image: number}; empty if the metric was not computed."""
        return self.values.get("psnr" if metric == "psnr-mean" else metric, {})

    def numbers(self, metric: str) -> list[float]:
        """One number per image; empty if the metric was not computed."""
        return list(self.by_image(metric).values())

    def average(self, metric: str) -> float | None:
        """The average over images; None if the metric was not computed."""
        numbers = self.numbers(metric)
        return average(metric, numbers) if numbers else None

    def interval(self, metric: str) -> Interval | None:
        """The 95% bootstrap interval of the average; None for times and memory, which depend on the machine."""
        numbers = self.numbers(metric)
        return bootstrap_interval(metric, numbers) if numbers and about(metric).interval else None

    @property
    def status(self) -> dict[str, str]:
        """{image: `ok`, `diverged`, or a method's own word}"""
        return {
            image: state
            for record in self.records
            for image, state in zip(record["ids"], record["status"], strict=True)
        }

    @property
    def remark(self) -> str:
        """How many images did not end well: `2 of 4 images diverged`; empty if all did."""
        states = list(self.status.values())
        bad = [state for state in dict.fromkeys(states) if state != "ok"]
        return ", ".join(f"{states.count(state)} of {len(states)} images {state}" for state in bad)


@dataclass(frozen=True)
class Reported:
    """A number of the paper, if there is one, and a note on it."""

    text: str = ""
    """As the paper writes it."""
    note: str = ""

    @property
    def value(self) -> float | None:
        """The number itself."""
        return float(self.text) if self.text else None

    @property
    def rounding(self) -> float:
        """Half of its last digit: the largest error of rounding."""
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

    @property
    def origin(self) -> str:
        """The scale, and its note."""
        return "; ".join(filter(None, [f"{self.spec['scale']} scale", self.note]))

    def label(self, method: str) -> str:
        """The name of a method in tables and figures."""
        return str(self.spec["methods"][method]["label"])

    def gap(self, case: str, method: str | None = None) -> str:
        """Why a case, or a method on it, has no results; empty if it has results."""
        spec = self.cases[case]
        if spec["gap"]:
            return str(spec["gap"])
        if method is None or method in spec["methods"]:
            return ""
        return str(spec["gaps"].get(method, "not part of this case"))

    def metric_gap(self, metric: str) -> str:
        """Why a metric was not computed; empty if it was."""
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
        """The full id of a metric: `lpips` is that of the network in the results, such as `lpips-alex`."""
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
        """One number per image; empty if the metric was not computed."""
        return self.cell(case, method).numbers(metric)

    def reported(self, case: str, method: str, metric: str) -> Reported:
        """The number of the paper in this artifact. Its `lpips` is compared with that of any network."""
        base = "lpips" if metric.startswith("lpips-") else metric
        names = ((case, method, metric), (case, method, base))
        return next((self._paper[name] for name in names if name in self._paper), Reported())

    @cached_property
    def _paper(self) -> dict[tuple[str, str, str], Reported]:
        if not self._reported.exists():
            return {}  # a study of the user's own, without a paper
        rows = _table(self._reported, ("artifact", "case", "method", "metric", "value", "note"))
        here = rows[rows["artifact"] == self.spec["artifact"]]
        return {(row.case, row.method, row.metric): self._number(row.value, row.note) for row in here.itertuples()}

    def _number(self, text: str, note: str) -> Reported:
        try:
            if Decimal(text).is_finite():
                return Reported(text.strip(), note)
        except InvalidOperation:
            pass
        raise UserError(f"{self._reported}: the value `{text}` is not a number; write it with the paper's digits")

    @contextmanager
    def writing(self, suffix: str) -> Iterator[Path]:
        """A temporary path. It is renamed to `out` + suffix when the block succeeds."""
        with written_atomically(self.path(suffix)) as temporary:
            yield temporary

    def path(self, suffix: str) -> Path:
        """`out` + suffix."""
        return self.out.with_name(self.out.name + suffix)

    def write_csv(self, columns: Sequence[str], rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Write `out`.csv. None becomes an empty cell."""
        import pandas

        with self.writing(".csv") as path:
            pandas.DataFrame(list(rows), columns=list(columns), dtype=object).to_csv(path, index=False)

    def write_sidecar(self, methods: Sequence[str], content: Mapping[str, Any]) -> None:
        """Write `out`.json: where the artifact comes from, its cells with numbers and commands, and its `content`."""
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
    """The same with `nan`, `inf` and `-inf` as text, because JSON has no such numbers. `float` reads them back."""
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    if isinstance(content, Mapping):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return content


def _values(paths: Sequence[Path]) -> dict[str, dict[str, float]]:
    import pandas

    numbers = pandas.concat([_table(path, ("image", "metric", "value")) for path in paths])
    return {
        metric: dict(zip(rows["image"], map(float, rows["value"]), strict=True))
        for metric, rows in numbers.groupby("metric", sort=False)
    }


def _table(path: Path, columns: Sequence[str]) -> DataFrame:
    """A csv, every cell as it is written, and empty if its row is too short."""
    import pandas

    try:
        with warnings.catch_warnings(action="error", category=pandas.errors.ParserWarning):
            table = pandas.read_csv(path, dtype=str, keep_default_na=False, index_col=False).fillna("")
    except (ValueError, pandas.errors.ParserWarning) as error:
        message = f"{path}: cannot be read as a csv: {error}; put quotes around cells that contain a comma"
        raise UserError(message) from error
    if missing := set(columns) - set(table):
        raise UserError(f"{path}: lacks the columns {', '.join(sorted(missing))}; expected {', '.join(columns)}")
    return table
