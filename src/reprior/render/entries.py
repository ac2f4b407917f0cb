"""The numbers of a table: ours, the paper's, their difference and the verdict, as text for any format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from reprior.metrics.averaging import about
from reprior.render.context import Cell, Context, Interval
from reprior.render.verdict import JUDGED, NOT_RUN, verdict

LINES = ("ours", "interval", "paper", "difference", "verdict")
"""The lines of a table row, in order."""
NOTHING = "–"
"""Shown if there is no number."""
NEXT_NOTE = " | "
"""Separates several notes on one of the paper's numbers."""
SAID_ONCE = ({NOTHING}, {NOT_RUN})
"""What a cell shows only once if it is the same for all metrics."""


@dataclass(frozen=True)
class Entry:
    """One case, method and metric."""

    case: str
    method: str
    metric: str
    ours: float | None
    interval: Interval | None
    """The range in which ours would lie for other images like these."""
    paper: float | None
    paper_text: str
    """With the digits that the paper gives."""
    verdict: str
    """How ours compares with the paper's; empty if they are not comparable."""
    images: int = 0
    gap: str = ""
    """Why there is no number of ours."""
    remark: str = ""
    """A remark on our number: images that diverged."""
    paper_note: str = ""
    best: bool = False
    """True if it is our best number in its row."""

    @property
    def difference(self) -> float | None:
        """Ours less the paper's. None unless they can be compared: see `verdict.JUDGED`."""
        if self.ours is None or self.paper is None or self.verdict not in JUDGED:
            return None
        return self.ours - self.paper

    def text(self, line: str) -> str:
        """The text of one of the `LINES`."""
        value = self.paper_text if line == "paper" else getattr(self, line)
        if value is None or value == "":
            return NOTHING
        if isinstance(value, str):
            return value
        numbers = value if line == "interval" else [value]
        sign = "+z" if line == "difference" else ""  # z: never -0.00
        return "–".join(format(number, sign + about(self.metric).format) for number in numbers)

    def said(self, line: str) -> list[str]:
        """The footnotes of one of the `LINES`."""
        notes = {"ours": (self.gap, self.remark), "paper": self.paper_note.split(NEXT_NOTE)}
        return [said for said in notes.get(line, ()) if said]

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
    cell = Cell({}, []) if gap else context.cell(case, method)
    ours, interval = cell.average(metric), cell.interval(metric)
    paper = context.reported(case, method, metric)
    return Entry(
        case=case,
        method=method,
        metric=metric,
        ours=ours,
        interval=interval,
        paper=paper.value,
        paper_text=paper.text,
        verdict=verdict(metric, ours, interval, paper) if context.comparable else "",
        images=len(cell.numbers(metric)),
        gap=gap or ("" if ours is not None else f"{metric} was not computed"),
        remark=cell.remark if ours is not None else "",
        paper_note=paper.note,
    )


def _with_best(row: list[Entry], better: str) -> list[Entry]:
    numbers = [entry.ours for entry in row if entry.ours is not None and not math.isnan(entry.ours)]
    if not better or len(numbers) < 2:
        return row
    best = max(numbers) if better == "higher" else min(numbers)
    return [replace(entry, best=entry.ours == best) for entry in row]
