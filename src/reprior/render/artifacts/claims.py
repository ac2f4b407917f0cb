"""Claims of a paper, compared with the run: each is a bound on the difference or the ratio of two averages."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from reprior.metrics.averaging import about, difference_interval, ratio_interval
from reprior.render.markup import MARKDOWN
from reprior.render.verdict import NOT_RUN

if TYPE_CHECKING:
    from reprior.render.context import Context, Interval

SUFFIXES = (".csv", ".md")
READS = "metrics"
COLUMNS = (
    *("name", "text", "where", "metric", "compare", "verdict", "number", "low", "high", "bound", "in"),
    *("case", "method", "against", "against_case", "satisfied", "computed", "pairs", "remark", "note", "scale"),
)
HOLDS, FAILS = "holds", "fails"
ABOUT_CLAIMS = (
    "Each claim sets bounds on the difference or the ratio of two averages. It is judged by the comparisons that were "
    "computed. The number shown is the one that decides: the worst where every comparison must keep the bounds, the "
    "best where one must."
)
ABOUT_BRACKETS = (
    "In brackets: the 95% bootstrap interval of the number. It covers the choice of our images and nothing else. "
    "Narrow: a bound lies within this interval."
)
WORDS = {"difference": "less", "ratio": "divided by"}
"""What stands between the two sides of a comparison."""


def claims(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    claims: list[dict],
    caption: str = "",
) -> None:
    """Write the verdict of each claim as csv and Markdown. The plan has spelled out the `claims` of the study."""
    del cases  # a claim names its own
    outcomes = [_Outcome(context, Claim(**claim)) for claim in claims]
    context.write_csv(COLUMNS, [outcome.row() for outcome in outcomes])
    entries = [outcome.as_dict() for outcome in outcomes]
    summary = _counted([outcome.verdict for outcome in outcomes])
    legend = [ABOUT_CLAIMS, *([ABOUT_BRACKETS] if any(outcome.interval for outcome in outcomes) else [])]
    with context.writing(".md") as path:
        heads = [f"**{MARKDOWN.escape(title)}**", MARKDOWN.escape(f"{context.origin}. {summary}. {caption}".strip())]
        points = "\n".join(map(_point, entries))
        path.write_text("\n\n".join([*heads, points, MARKDOWN.escape(" ".join(legend))]) + "\n", encoding="utf-8")
    context.write_sidecar(methods, {"claims": {"entries": entries, "summary": summary, "legend": legend}})


@dataclass(frozen=True)
class Claim:
    """A claim as the plan spells it out."""

    name: str
    text: str
    where: str
    note: str
    metric: str
    methods: Sequence[tuple[str, str]]
    """Left and right method of each comparison, on each of the `cases`."""
    cases: Sequence[tuple[str, str]]
    compare: str
    """One of `WORDS`."""
    above: float | None
    below: float | None
    scope: str

    @property
    def bounds(self) -> dict[str, float]:
        """{sign: bound}"""
        return {sign: bound for sign, bound in ((">", self.above), ("<", self.below)) if bound is not None}

    @property
    def bound(self) -> str:
        """`> 0.5 and < 1.5`"""
        return " and ".join(f"{sign} {bound:g}" for sign, bound in self.bounds.items())

    def margin(self, number: float) -> float:
        """How far a number is inside the bounds: above zero if it keeps them, -inf for NaN."""
        if math.isnan(number):
            return -math.inf
        return min(number - bound if sign == ">" else bound - number for sign, bound in self.bounds.items())


@dataclass(frozen=True)
class Comparison:
    """Two averages, or the reason why one is missing."""

    sides: tuple[tuple[str, str], tuple[str, str]]
    """(method, case), left and right."""
    averages: tuple[float, float]
    compare: str
    gap: str

    @property
    def number(self) -> float:
        """Left less right, or left divided by right; NaN if that is zero."""
        left, right = self.averages
        if self.compare == "difference":
            return left - right
        return left / right if right else math.nan


@dataclass(frozen=True)
class _Outcome:
    """A claim and its result in this run."""

    context: Context
    claim: Claim

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every comparison that the claim makes."""
        pairs = product(self.claim.methods, self.claim.cases)
        return [self._comparison((left, case), (right, other)) for (left, right), (case, other) in pairs]

    def _comparison(self, left: tuple[str, str], right: tuple[str, str]) -> Comparison:
        context, metric, sides = self.context, self.claim.metric, (left, right)
        gap = next(filter(None, (context.gap(case, method) for method, case in sides)), context.metric_gap(metric))
        found = [None if gap else context.cell(case, method).average(metric) for method, case in sides]
        if None in found:
            gap = gap or f"{metric} was not computed"
        ours, theirs = (math.nan if average is None else average for average in found)
        return Comparison(sides, (ours, theirs), self.claim.compare, gap)

    @cached_property
    def computed(self) -> list[Comparison]:
        """The comparisons with two averages."""
        return [comparison for comparison in self.comparisons if not comparison.gap]

    @property
    def satisfied(self) -> int:
        """Number of comparisons that keep the bounds."""
        return sum(self.claim.margin(comparison.number) > 0 for comparison in self.computed)

    @cached_property
    def deciding(self) -> Comparison | None:
        """The comparison that decides; None if the median decides or nothing was computed."""
        if not self.computed or self.claim.scope == "median":
            return None
        choose = min if self.claim.scope == "every" else max
        return choose(self.computed, key=lambda comparison: self.claim.margin(comparison.number))

    @cached_property
    def number(self) -> float | None:
        """The difference or the ratio that decides."""
        if self.deciding is not None:
            return self.deciding.number
        if not self.computed:
            return None
        numbers = [comparison.number for comparison in self.computed]
        return math.nan if any(map(math.isnan, numbers)) else statistics.median(numbers)

    @property
    def verdict(self) -> str:
        """`holds`, `fails` or `not run`."""
        if self.number is None:
            return NOT_RUN
        return HOLDS if self.claim.margin(self.number) > 0 else FAILS

    @cached_property
    def interval(self) -> Interval | None:
        """Interval of the number that decides; None for a median, and for times and memory."""
        if self.deciding is None or not about(self.claim.metric).interval:
            return None
        (left, case), (right, other) = self.deciding.sides
        ours = self.context.cell(case, left).by_image(self.claim.metric)
        theirs = self.context.cell(other, right).by_image(self.claim.metric)
        datasets = [self.context.cases[name]["dataset"] for name in (case, other)]
        paired = datasets[0] == datasets[1] and ours.keys() == theirs.keys()
        # the order of images does not matter, but it must be the same on both sides and in every run
        numbers = [[values[image] for image in sorted(values)] for values in (ours, theirs)]
        interval = difference_interval if self.claim.compare == "difference" else ratio_interval
        return interval(self.claim.metric, numbers[0], numbers[1], paired)

    def _remarks(self) -> Iterator[str]:
        low, high = self.interval or (math.nan, math.nan)
        if any(low <= bound <= high for bound in self.claim.bounds.values()):
            yield f"narrow: {'the' if len(self.claim.bounds) == 1 else 'a'} bound lies within the interval"
        gaps = Counter(comparison.gap for comparison in self.comparisons if comparison.gap)
        for gap, times in gaps.items():
            yield f"{times} of {len(self.comparisons)} comparisons not computed: {gap}"
        for comparison in self.computed:
            if math.isnan(comparison.number):
                yield f"not a number: {f' {self._word} '.join(map(self._named, comparison.sides))}"
        sides = dict.fromkeys(side for comparison in self.computed for side in comparison.sides)
        for method, case in sides:
            remark = self.context.cell(case, method).remark
            if remark:
                yield f"{self._named((method, case))}: {remark}"

    def _named(self, side: tuple[str, str]) -> str:
        method, case = side
        return f"{self.context.label(method)} on {self.context.cases[case]['label']}"

    @property
    def _word(self) -> str:
        return WORDS[self.claim.compare]

    def _asked(self) -> str:
        """The condition in words."""
        left, right = (
            ", ".join(dict.fromkeys(self.context.label(names[side]) for names in self.claim.methods)) for side in (0, 1)
        )
        itself = all(left == right for left, right in self.claim.methods)
        subject = f"{left}, the first case {self._word} the other" if itself else f"{left} {self._word} {right}"
        scopes = {"every": " in every comparison", "some": " in at least one comparison", "median": " in the median"}
        scope = scopes[self.claim.scope] if len(self.comparisons) > 1 else ""
        return f"{about(self.claim.metric).label}, {subject}: {self.claim.bound}{scope}"

    def _bounds(self) -> str:
        return "bound" if len(self.claim.bounds) == 1 else "bounds"

    def _shown(self, number: float) -> str:
        """A ratio as `32.5 x`. A difference with the digits of its metric, or with more if it would look like zero."""
        if self.claim.compare == "ratio":
            return f"{number:.0f} x" if abs(number) >= 1000 else f"{number:.3g} x"
        text = format(number, "+z" + about(self.claim.metric).format)
        return text if any(digit in "123456789inf" for digit in text) or not number else f"{number:+.1e}"

    def _sides(self) -> tuple[str, list[dict[str, str]]]:
        """The case that decides, if both sides share it, and the two averages."""
        if self.deciding is None:
            return "", []
        cases = {case for _, case in self.deciding.sides}
        shown = [
            {
                "method": method,
                "case": case,
                "name": self.context.label(method) if len(cases) == 1 else f"{self._named((method, case))}:",
                "average": format(average, about(self.claim.metric).format),
            }
            for (method, case), average in zip(self.deciding.sides, self.deciding.averages, strict=True)
        ]
        return (str(self.context.cases[cases.pop()]["label"]) if len(cases) == 1 else ""), shown

    def as_dict(self) -> dict[str, Any]:
        """For the sidecar: everything as text."""
        case, sides = self._sides()
        several = len(self.comparisons) > 1
        return {
            **{key: getattr(self.claim, key) for key in ("name", "text", "where", "note")},
            "verdict": self.verdict,
            "asked": self._asked(),
            "number": "" if self.number is None else self._shown(self.number),
            "interval": " to ".join(map(self._shown, self.interval or ())),
            "on": case,
            "sides": sides,
            "word": self._word,
            "kept": f"{self.satisfied} of {len(self.computed)} within the {self._bounds()}" if several else "",
            "remarks": list(self._remarks()),
        }

    def row(self) -> dict[str, Any]:
        """For the csv."""
        low, high = self.interval or (None, None)
        numbers = {"number": self.number, "low": low, "high": high}
        sides = self.deciding.sides if self.deciding else (("", ""), ("", ""))
        return {
            **{key: getattr(self.claim, key) for key in ("name", "text", "where", "metric", "bound", "note")},
            **{key: "" if number is None else f"{number:.10g}" for key, number in numbers.items()},
            **dict(zip(("method", "case", "against", "against_case"), (*sides[0], *sides[1]), strict=True)),
            "verdict": self.verdict,
            "compare": self.claim.compare,
            "in": self.claim.scope,
            "satisfied": self.satisfied,
            "computed": len(self.computed),
            "pairs": len(self.comparisons),
            "remark": "; ".join(self._remarks()),
            "scale": self.context.origin,
        }


def _counted(verdicts: Sequence[str]) -> str:
    """`7 of 10 claims hold; 2 fail, 1 not run`"""
    times = Counter(verdicts)
    others = [f"{times[word]} {shown}" for word, shown in ((FAILS, "fail"), (NOT_RUN, "not run")) if times[word]]
    return "; ".join(filter(None, [f"{times[HOLDS]} of {len(verdicts)} claims hold", ", ".join(others)]))


def _point(entry: Mapping[str, Any]) -> str:
    """An item of a Markdown list, since sentences do not fit into the columns of a table."""
    escape = MARKDOWN.escape
    where = f" ({escape(entry['where'])})" if entry["where"] else ""
    said = [f"{entry['asked']}.", _found(entry), *entry["remarks"], f"Our reading: {entry['note']}"]
    shown = said if entry["note"] else said[:-1]
    lines = [
        f"- **{entry['verdict']}**: “{escape(entry['text'])}”{where}",
        *(f"  - {escape(text)}" for text in shown if text),
    ]
    return "\n".join(lines)


def _found(entry: Mapping[str, Any]) -> str:
    """`+3.21 (+2.80 to +3.60) on SR x4: IAGAN 27.16 less CSGM 23.95; 3 of 4 within the bound.`; empty if not run."""
    interval = f" ({entry['interval']})" if entry["interval"] else ""
    on = f" on {entry['on']}" if entry["on"] else ""
    sides = f" {entry['word']} ".join(f"{side['name']} {side['average']}" for side in entry["sides"])
    found = f"{entry['number']}{interval}{on}{': ' if sides else ''}{sides}"
    return "; ".join(filter(None, [found, entry["kept"]])) + "." if entry["number"] else ""
