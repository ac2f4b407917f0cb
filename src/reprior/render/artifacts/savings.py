"""How many measurements one group of cases saves over another at equal error: NPGD's designed against its random A."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.metrics.averaging import about
from reprior.render.entries import NOTHING, Entry, entries
from reprior.render.markup import LATEX, MARKDOWN, booktabs, piped
from reprior.render.panels import gaps, ordered, place

if TYPE_CHECKING:
    from reprior.render.context import Context

SUFFIXES = (".csv", ".md", ".tex")
READS = "metrics"
COLUMNS = ("case", "method", "metric", "x", "error", "relation", "against_x", "saving", "gap", "scale")
REACHED, MORE, FEWER = "=", ">", "<"
"""The other group has the error at m', only beyond its largest m, or already at its smallest m."""
NO_LOGARITHM = "the error is zero or no finite number, so it has no logarithm"
NOTHING_TO_READ = "the other group has no numbers"

Curve = Sequence[tuple[float, float]]
"""(m, error), sorted by m. The error never rises."""


def savings(
    context: Context,
    *,
    title: str,
    cases: list[str],
    groups: dict[str, list[str]],
    methods: list[str],
    metric: str = "mse",
    x: str = "ratio",
    x_label: str = "",
    caption: str = "",
) -> None:
    """Write csv, Markdown and LaTeX: a row for each case of the first of two `groups`, {title: cases}, per method.

    A case has m measurements and the error e. The second group has the error e at m', read from its own cases. The
    saving is m'/m. The first group is the one whose cases come first in `cases`. `x` is the operator's setting that
    says m: `ratio` or `measurements`.

    The paper leaves open: how its 5 to 10 times were read (ours: linear in log m and log error between two cases; the
    second group's error is the least up to m; no extrapolation, so beyond its cases m' and the saving are bounds).
    """
    (left, first), (right, second) = _two(context, ordered(context, "groups", groups, cases))
    metric = _error(context, context.metric(metric, cases, methods))
    places = {case: place(context, case, x) for case in cases}
    _check_places(context, second, places)
    found = [_with_logarithm(entry) for entry in entries(context, cases, methods, [metric])]
    rows = [row for method in methods for row in _rows(found, method, first, second, places)]
    columns = [left, "method", x_label or {"ratio": "m/n", "measurements": "m"}.get(x, x), about(metric).label]
    heading = [*columns, f"same error, {right}", "saving"]
    legend = [_legend(left, right), *(_counted(context.label(method), rows, method) for method in methods)]
    legend += gaps(context, [entry for entry in found if entry.case in second])
    listed = [row.cells(context) for row in rows]
    context.write_csv(COLUMNS, [row.as_csv(context) for row in rows])
    texts = [[cell["text"] or NOTHING for cell in row] for row in listed]
    notes = " ".join(filter(None, [caption, f"{context.origin}.", *legend]))
    for suffix, write in ((".md", _markdown), (".tex", _latex)):
        with context.writing(suffix) as path:
            path.write_text(write(title, heading, texts, notes), encoding="utf-8")
    context.write_sidecar(methods, {"listing": {"heading": heading, "rows": listed, "legend": legend}})


def falling(points: Iterable[tuple[float, float]]) -> Curve:
    """Points (m, error) as a curve. Its error at m is the least up to m: more measurements never count as worse."""
    return list(accumulate(sorted(points), lambda before, here: (here[0], min(before[1], here[1]))))


def reached(curve: Curve, error: float) -> tuple[str, float]:
    """The relation, and the smallest m' at which the curve has this error; a bound on m' outside the curve."""
    if error > curve[0][1]:
        return FEWER, curve[0][0]
    for (m, high), (next_m, low) in pairwise([curve[0], *curve]):
        if low <= error:
            share = math.log(high / error) / math.log(high / low) if high > low else 0.0
            return REACHED, m * (next_m / m) ** share
    return MORE, curve[-1][0]


@dataclass(frozen=True)
class _Row:
    """A case of the first group, and where the second has its error."""

    entry: Entry
    m: float
    relation: str = ""
    """Empty if there is no number."""
    against: float = math.nan
    gap: str = ""

    @property
    def saving(self) -> float:
        """m'/m."""
        return self.against / self.m

    def cells(self, context: Context) -> list[dict[str, str]]:
        """The texts of the row, and the cells that the report opens for them."""
        case, method = self.entry.case, self.entry.method
        opened = {"case": case, "method": "" if context.gap(case, method) else method}
        head = {"case": case, "method": "", "text": str(context.cases[case]["label"])}
        mine = [context.label(method), f"{self.m:.4g}", self.entry.text("ours")]
        sign = "" if self.relation == REACHED else f"{self.relation} "
        read = [f"{sign}{self.against:.4g}", f"{sign}{self.saving:.3g} x"] if self.relation else ["", self.gap]
        return [head, *({**opened, "text": text} for text in mine), *({**head, "text": text} for text in read)]

    def as_csv(self, context: Context) -> dict[str, Any]:
        """For the csv: more digits."""
        numbers = {"x": self.m, "error": self.entry.ours, "against_x": self.against, "saving": self.saving}
        known = {key: number for key, number in numbers.items() if number is not None and not math.isnan(number)}
        names = {"case": self.entry.case, "method": self.entry.method, "metric": self.entry.metric}
        texts = {key: f"{number:.10g}" for key, number in known.items()}
        return {**names, **texts, "relation": self.relation, "gap": self.gap, "scale": context.origin}


def _rows(
    found: Sequence[Entry], method: str, first: Sequence[str], second: Sequence[str], places: Mapping[str, float]
) -> list[_Row]:
    """The rows of a method."""
    here = {entry.case: entry for entry in found if entry.method == method}
    curve = falling((places[case], here[case].ours or 0.0) for case in second if not here[case].gap)
    return [_row(here[case], places[case], curve) for case in first]


def _row(entry: Entry, m: float, curve: Curve) -> _Row:
    if entry.gap or entry.ours is None or not curve:
        return _Row(entry, m, gap=entry.gap or NOTHING_TO_READ)
    relation, against = reached(curve, entry.ours)
    return _Row(entry, m, relation, against)


def _two(context: Context, shown: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    if len(shown) == 2:
        return list(shown.items())
    raise UserError(
        f"artifact {context.spec['artifact']}: groups: expected two groups of cases, those that save measurements and "
        f"those that they are compared with; got {len(shown)}"
    )


def _error(context: Context, metric: str) -> str:
    """The metric, if it is an error."""
    if about(metric).better == "lower":
        return metric
    raise UserError(
        f"artifact {context.spec['artifact']}: metric: {metric} is not an error; choose a metric whose lower values "
        "are better, such as mse"
    )


def _check_places(context: Context, second: Sequence[str], places: Mapping[str, float]) -> None:
    seen: dict[float, str] = {}
    for case in second:
        other = seen.setdefault(places[case], case)
        if other != case:
            raise UserError(
                f"artifact {context.spec['artifact']}: groups: the cases {other} and {case} of the second group have "
                f"the same number of measurements, {places[case]:g}; keep one of them"
            )


def _with_logarithm(entry: Entry) -> Entry:
    """The entry, with a gap if its number cannot be read off."""
    if entry.gap or (entry.ours is not None and math.isfinite(entry.ours) and entry.ours > 0):
        return entry
    return replace(entry, gap=NO_LOGARITHM)


def _legend(left: str, right: str) -> str:
    return (
        f"Saving: how many times as many measurements {right} takes for the same error as {left}. It is read from the "
        f"cases of {right} by a line in log m and log error, after a running minimum, and never beyond these cases: > "
        "and < are bounds. Averages over images without an interval."
    )


def _counted(label: str, rows: Sequence[_Row], method: str) -> str:
    """`NPGD: 5 of 7 savings are numbers, from 1.2 to 6.5 x; 1 is a bound, 1 missing.`"""
    here = [row for row in rows if row.entry.method == method]
    numbers = [row.saving for row in here if row.relation == REACHED]
    bounds = sum(row.relation in (MORE, FEWER) for row in here)
    extent = f", from {min(numbers):.3g} to {max(numbers):.3g} x" if numbers else ""
    rest = f"{bounds} bounds, {len(here) - len(numbers) - bounds} missing"
    return f"{label}: {len(numbers)} of {len(here)} savings are numbers{extent}; {rest}."


def _markdown(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]], notes: str) -> str:
    table = piped([[MARKDOWN.escape(text) for text in row] for row in (heading, *rows)])
    return f"**{MARKDOWN.escape(title)}**\n\n{table}\n\n{MARKDOWN.escape(notes)}\n"


def _latex(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]], notes: str) -> str:
    head, *body = [[LATEX.escape(text) for text in row] for row in (heading, *rows)]
    return booktabs(title, head, [body], LATEX.escape(notes))
