"""The numbers of a table: ours, the paper's and the difference, as text of any format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reprior.metrics.averaging import about, average
from reprior.render.context import Context

LINES = ("ours", "paper", "difference")
"""The lines of a table row, in order."""
NOTHING = "–"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Entry:
    """One case, method and metric."""

    case: str
    method: str
    metric: str
    ours: float | None
    paper: float | None
    verdict: str
    images: int
    gap: str
    """Why there is no number of ours."""
    remark: str
    """What is to be said about our number: images that diverged."""
    paper_note: str
    best: bool = False
    """Whether it is the best number of ours in its row."""

    @property
    def difference(self) -> float | None:
        """Ours less the paper's, where both are there."""
        return None if self.ours is None or self.paper is None else self.ours - self.paper

    def text(self, line: str) -> str:
        """The number of one of the `LINES`, as it is shown."""
        value: float | None = getattr(self, line)
        if value is None:
            return NOTHING
        return format(value, ("+" if line == "difference" else "") + about(self.metric).format)

    def said(self, line: str) -> list[str]:
        """What a footnote says about one of the `LINES`."""
        return [said for said in {"ours": (self.gap, self.remark), "paper": (self.paper_note,)}.get(line, ()) if said]

    def as_dict(self) -> dict[str, Any]:
        """For the sidecar: the fields, and each line as text."""
        texts = {line: {"text": self.text(line), "said": self.said(line)} for line in LINES}
        return {**asdict(self), "difference": self.difference, "lines": texts}


def entries(context: Context, cases: Sequence[str], methods: Sequence[str], metrics: Sequence[str]) -> list[Entry]:
    """Every entry of a table, row by row, with the best of each row marked."""
    found = []
    for case in cases:
        for metric in metrics:
            row = [_entry(context, case, method, metric) for method in methods]
            found += _with_best(row, about(metric).better)
    return found


def _entry(context: Context, case: str, method: str, metric: str) -> Entry:
    gap = context.gap(case, method) or context.metric_gap(metric)
    values = None if gap else context.values(case, method, metric)
    if values is None:
        gap = gap or f"{metric} was not computed"
    ours = None if values is None else average(metric, values)
    paper = context.reported(case, method, metric)
    return Entry(
        case=case,
        method=method,
        metric=metric,
        ours=ours,
        paper=paper.value if paper else None,
        verdict=_verdict(context, metric, ours, paper.value if paper else None),
        images=len(values or ()),
        gap=gap,
        remark="" if values is None else context.cell(case, method).remark,
        paper_note=paper.note if paper else "",
    )


def _verdict(context: Context, metric: str, ours: float | None, paper: float | None) -> str:
    """How our number stands to the paper's, in the digits that are shown; why not, where they cannot be compared."""
    if not context.comparable:
        return context.note
    if ours is None or paper is None:
        return "no number of ours" if ours is None else "no number in the paper"
    size = format(abs(ours - paper), about(metric).format)
    if not math.isfinite(ours) or float(size) == 0:
        return "equal" if math.isfinite(ours) else "not finite"
    return f"{size} {'above' if ours > paper else 'below'}"


def _with_best(row: list[Entry], better: str) -> list[Entry]:
    numbers = [entry.ours for entry in row if entry.ours is not None and not math.isnan(entry.ours)]
    if not better or len(numbers) < 2:
        return row
    best = max(numbers) if better == "higher" else min(numbers)
    return [Entry(**{**asdict(entry), "best": entry.ours == best}) for entry in row]
