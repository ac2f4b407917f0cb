"""Text in the formats of tables: Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Markup:
    """How a format writes bold text and a footnote's mark, and how it escapes text."""

    bold: str
    mark: str
    escape: Callable[[str], str]


def _markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_|<>" else letter for letter in text)


_SIGNS = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "×": r"$\times$",
    "–": "--",
}


def _latex(text: str) -> str:
    return "".join(_SIGNS.get(letter, letter) for letter in text)


MARKDOWN = Markup("**{}**", " [{}]", _markdown)
LATEX = Markup(r"\textbf{{{}}}", r"\textsuperscript{{{}}}", _latex)


def piped(rows: Sequence[Sequence[str]]) -> str:
    """A table as GitHub shows it: a heading and rows of escaped texts. The first two columns hold names."""
    heading, *others = rows
    rule = ["---", "---", *("---:" for _ in heading[2:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *others))


def booktabs(title: str, heading: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], notes: str) -> str:
    """A LaTeX table: groups of rows of escaped texts, with some space between them. Its notes are escaped, too."""
    head, *bodies = [" \\\\\n".join(" & ".join(row) for row in rows) + " \\\\" for rows in ([heading], *groups)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{LATEX.escape(title)}}}",
            f"\\begin{{tabular}}{{ll{'r' * len(heading[2:])}}}",
            "\\toprule",
            head,
            "\\midrule",
            "\n\\addlinespace\n".join(bodies),
            "\\bottomrule",
            "\\end{tabular}",
            f"\\par\\smallskip\\footnotesize {notes}",
            "\\end{table}",
            "",
        ]
    )
