"""Text in the formats of tables: Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
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
