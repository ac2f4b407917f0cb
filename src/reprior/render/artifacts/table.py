"""A table of averages: ours with its interval, the paper's, the difference and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reprior.metrics.averaging import about
from reprior.render.entries import LINES, NOTHING, SAID_ONCE, Entry, entries
from reprior.render.markup import LATEX, MARKDOWN, Markup, booktabs, piped
from reprior.render.verdict import ABOUT_INTERVAL, ABOUT_NOT_JUDGED, ABOUT_VERDICT, AGREES, BETTER, NOT_JUDGED, WORSE

if TYPE_CHECKING:
    from reprior.render.context import Context

SUFFIXES = (".csv", ".md", ".tex")
READS = "metrics"
NUMBERS = ("ours", "low", "high", "paper", "difference")
COLUMNS = ("case", "method", "metric", *NUMBERS, "verdict", "images", "gap", "remark")


def table(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    metrics: list[str],
    caption: str = "",
) -> None:
    """Write cases x methods as csv (long, for machines), Markdown and LaTeX.

    The csv holds the mean of per-image PSNRs (`psnr-mean`) beside the PSNR of the mean MSE that the tables show.
    """
    ids = [context.metric(name, cases, methods) for name in metrics]
    found = entries(context, cases, methods, ids)
    extra = entries(context, cases, methods, ["psnr-mean"]) if "psnr" in ids else []
    context.write_csv(COLUMNS, [_csv_row(context, entry) for entry in found + extra])
    layout = _Layout(context, title, caption, cases, methods, ids, found)
    for suffix, write in ((".md", layout.markdown), (".tex", layout.latex)):
        with context.writing(suffix) as path:
            path.write_text(write(), encoding="utf-8")
    context.write_sidecar(methods, {"table": layout.as_dict()})


def _csv_row(context: Context, entry: Entry) -> list[str | int]:
    numbers = (entry.ours, *(entry.interval or (None, None)), entry.paper, entry.difference)
    texts = ["" if number is None else f"{number:.10g}" for number in numbers]
    verdict = entry.verdict if context.comparable else context.note
    return [entry.case, entry.method, entry.metric, *texts, verdict, entry.images, entry.gap, entry.remark]


@dataclass(frozen=True)
class _Row:
    """One row of a case."""

    name: str
    line: str
    """One of `LINES`."""
    metrics: Sequence[str]
    """Its numbers, in this order."""


@dataclass(frozen=True)
class _Layout:
    """What every format shows: the rows of each case, their cells, and the notes."""

    context: Context
    title: str
    caption: str
    cases: Sequence[str]
    methods: Sequence[str]
    metrics: Sequence[str]
    found: Sequence[Entry]

    @cached_property
    def rows(self) -> dict[str, list[_Row]]:
        """The rows of each case: ours, and those that show something."""
        return {case: [row for row in self._possible() if self._shows(case, row)] for case in self.cases}

    def _possible(self) -> Iterator[_Row]:
        """One row per line; one per metric for intervals, which are long."""
        for line in LINES:
            if line == "interval" and len(self.metrics) > 1:
                yield from (_Row(f"interval, {about(metric).label}", line, [metric]) for metric in self.metrics)
            else:
                yield _Row(line, line, self.metrics)

    def _shows(self, case: str, row: _Row) -> bool:
        here = (entry for method in self.methods for entry in self.of(case, method, row))
        return row.line == "ours" or any(entry.text(row.line) != NOTHING for entry in here)

    @cached_property
    def marks(self) -> dict[str, str]:
        """{text of a footnote: its letter}"""
        read = ((case, row, method) for case, rows in self.rows.items() for row in rows for method in self.methods)
        said = (text for case, row, method in read for e in self.of(case, method, row) for text in e.said(row.line))
        return {text: _letter(i) for i, text in enumerate(dict.fromkeys(said))}

    @property
    def legend(self) -> list[str]:
        """How to read the table."""
        lines = {row.line for rows in self.rows.values() for row in rows}
        words = {entry.verdict for entry in self.found}
        said = {
            "Bold: best of ours in a row.": any(entry.best for entry in self.found),
            "Difference: ours less the paper's.": "difference" in lines,
            ABOUT_INTERVAL: "interval" in lines,
            ABOUT_VERDICT: bool(words & {AGREES, BETTER, WORSE}),
            ABOUT_NOT_JUDGED: NOT_JUDGED in words,
        }
        return [text for text, applies in said.items() if applies]

    def of(self, case: str, method: str, row: _Row) -> list[Entry]:
        """The entries of one cell, one per metric."""
        here = [entry for entry in self.found if (entry.case, entry.method) == (case, method)]
        return [entry for entry in here if entry.metric in row.metrics]

    @property
    def corner(self) -> str:
        """The metrics of a cell."""
        return " / ".join(about(metric).label for metric in self.metrics)

    @property
    def heading(self) -> list[str]:
        """The names of the columns."""
        return ["", self.corner, *(self.context.label(method) for method in self.methods)]

    def as_dict(self) -> dict[str, Any]:
        """For the sidecar."""
        return {
            "heading": self.corner,
            "rows": {case: [asdict(row) for row in rows] for case, rows in self.rows.items()},
            "entries": [entry.as_dict() for entry in self.found],
            "legend": self.legend,
            "notes": list(self.marks),
        }

    def markdown(self) -> str:
        """As GitHub shows it."""
        heading = [MARKDOWN.escape(text) for text in self.heading]
        rows = piped([heading, *(row for case in self.cases for row in self._rows(case, MARKDOWN))])
        notes = [f"**{MARKDOWN.escape(self.title)}**", self._remarks(), *(f"[{m}] {t}" for t, m in self.marks.items())]
        return "\n\n".join([notes[0], rows, *(MARKDOWN.escape(note) for note in notes[1:])]) + "\n"

    def latex(self) -> str:
        """A `booktabs` table."""
        marks = [rf"\textsuperscript{{{mark}}}~{LATEX.escape(text)}" for text, mark in self.marks.items()]
        notes = " \\\\\n".join([LATEX.escape(self._remarks()), *marks])
        groups = [self._rows(case, LATEX) for case in self.cases]
        return booktabs(self.title, [LATEX.escape(text) for text in self.heading], groups, notes)

    def _rows(self, case: str, markup: Markup) -> list[list[str]]:
        """The texts of each row of a case: label of the case, name of the row, one cell per method."""
        label = markup.escape(str(self.context.cases[case]["label"]))
        return [
            [
                label if row.line == "ours" else "",
                markup.escape(row.name),
                *(self._cell(case, method, row, markup) for method in self.methods),
            ]
            for row in self.rows[case]
        ]

    def _cell(self, case: str, method: str, row: _Row, markup: Markup) -> str:
        found = self.of(case, method, row)
        alike = {entry.text(row.line) for entry in found} in SAID_ONCE
        texts = [
            (markup.bold if entry.best and row.line == "ours" else "{}").format(markup.escape(entry.text(row.line)))
            for entry in (found[:1] if alike else found)
        ]
        marks = sorted({self.marks[text] for entry in found for text in entry.said(row.line)})
        return " / ".join(texts) + "".join(map(markup.mark.format, marks))

    def _remarks(self) -> str:
        return " ".join(filter(None, [self.caption, f"{self.context.origin}.", *self.legend]))


def _letter(index: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    return (_letter(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)
