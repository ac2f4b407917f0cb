"""A table of averages: ours, the paper's and the difference."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from reprior.metrics.averaging import about
from reprior.render.entries import LINES, NOTHING, Entry, entries

if TYPE_CHECKING:
    from reprior.render.context import Context

SUFFIXES = (".csv", ".md", ".tex")
READS = "metrics"
COLUMNS = ("case", "method", "metric", "ours", "paper", "difference", "verdict", "images", "gap", "remark")


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
    _write_csv(context, found + extra)
    layout = _Layout(context, title, caption, cases, methods, ids, found)
    for suffix, write in ((".md", layout.markdown), (".tex", layout.latex)):
        with context.writing(suffix) as path:
            path.write_text(write(), encoding="utf-8")
    heading = " / ".join(about(metric).label for metric in ids)
    rows = [entry.as_dict() for entry in found]
    shown = {"heading": heading, "lines": layout.lines, "entries": rows, "notes": list(layout.marks)}
    context.write_sidecar(methods, {"table": shown})


def _write_csv(context: Context, found: Sequence[Entry]) -> None:
    with context.writing(".csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for entry in found:
            numbers = ["" if n is None else f"{n:.10g}" for n in (entry.ours, entry.paper, entry.difference)]
            named = (entry.case, entry.method, entry.metric)
            writer.writerow([*named, *numbers, entry.verdict, entry.images, entry.gap, entry.remark])


@dataclass(frozen=True)
class _Layout:
    """The same rows in Markdown and LaTeX; each case has one line for ours, the paper's and the difference."""

    context: Context
    title: str
    caption: str
    cases: Sequence[str]
    methods: Sequence[str]
    metrics: Sequence[str]
    found: Sequence[Entry]

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines of each row; where the paper has no number, only ours."""
        return LINES if any(entry.paper is not None for entry in self.found) else LINES[:1]

    @cached_property
    def marks(self) -> dict[str, str]:
        """{what a footnote says: its letter}"""
        read = ((case, line, method) for case in self.cases for line in self.lines for method in self.methods)
        said = (text for case, line, method in read for e in self.of(case, method) for text in e.said(line))
        return {text: _letter(i) for i, text in enumerate(dict.fromkeys(said))}

    def of(self, case: str, method: str) -> list[Entry]:
        """The entries of one cell, one a metric."""
        return [entry for entry in self.found if (entry.case, entry.method) == (case, method)]

    @property
    def heading(self) -> list[str]:
        """The names of the columns."""
        labels = " / ".join(about(metric).label for metric in self.metrics)
        return ["", labels, *(self.context.label(method) for method in self.methods)]

    def markdown(self) -> str:
        """As GitHub shows it."""
        rows = [
            _piped([_markdown(text) for text in self.heading]),
            _piped(["---", "---", *("---:" for _ in self.methods)]),
        ]
        rows += [_piped(row) for case in self.cases for row in self._rows(case, "**{}**", " [{}]", _markdown)]
        notes = [f"**{_markdown(self.title)}**", self._remarks(), *(f"[{m}] {t}" for t, m in self.marks.items())]
        return "\n\n".join([notes[0], "\n".join(rows), *(_markdown(note) for note in notes[1:])]) + "\n"

    def latex(self) -> str:
        """A `booktabs` table."""
        bold, mark = r"\textbf{{{}}}", r"\textsuperscript{{{}}}"
        groups = [[" & ".join(row) for row in self._rows(case, bold, mark, _latex)] for case in self.cases]
        marks = [rf"\textsuperscript{{{mark}}}~{_latex(text)}" for text, mark in self.marks.items()]
        notes = " \\\\\n".join([_latex(self._remarks()), *marks])
        return "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                "\\begin{table}",
                "\\centering",
                f"\\caption{{{_latex(self.title)}}}",
                f"\\begin{{tabular}}{{ll{'r' * len(self.methods)}}}",
                "\\toprule",
                " & ".join(map(_latex, self.heading)) + " \\\\",
                "\\midrule",
                " \\\\\n\\addlinespace\n".join(" \\\\\n".join(group) for group in groups) + " \\\\",
                "\\bottomrule",
                "\\end{tabular}",
                f"\\par\\smallskip\\footnotesize {notes}",
                "\\end{table}",
                "",
            ]
        )

    def _rows(self, case: str, bold: str, mark: str, escape: Callable[[str], str]) -> list[list[str]]:
        """One row of text a line of a case: the case's label, the line's name, one cell a method."""
        label = escape(str(self.context.cases[case]["label"]))
        return [
            [
                label if line == self.lines[0] else "",
                line,
                *(self._cell(case, m, line, bold, mark) for m in self.methods),
            ]
            for line in self.lines
        ]

    def _cell(self, case: str, method: str, line: str, bold: str, mark: str) -> str:
        found = self.of(case, method)
        numbers = (bold.format(e.text(line)) if e.best and line == "ours" else e.text(line) for e in found)
        marks = sorted({self.marks[text] for entry in found for text in entry.said(line)})
        shown = NOTHING if all(e.text(line) == NOTHING for e in found) else " / ".join(numbers)
        return shown + "".join(mark.format(letter) for letter in marks)

    def _remarks(self) -> str:
        origin = "; ".join(filter(None, [f"{self.context.spec['scale']} scale", self.context.note]))
        bold = "Bold: best of ours in a row." if any(entry.best for entry in self.found) else ""
        return " ".join(filter(None, [self.caption, f"{origin}.", bold]))


def _letter(index: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    return (_letter(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    """Text in which nothing is taken for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_|<>" else letter for letter in text)


_LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "×": r"$\times$",
    "–": "--",
}


def _latex(text: str) -> str:
    """Text in which nothing is taken for LaTeX."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
