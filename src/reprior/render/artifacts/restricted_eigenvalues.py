"""beta / alpha of an operator on the range of a generator, which NPGD's convergence theorem bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reprior.render import style
from reprior.render.entries import Entry, entries
from reprior.render.panels import common_legend, gaps, ordered, panel_grid, place, say_why, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "metrics"
ALPHA, BETA = "rec-alpha", "rec-beta"
LIMIT = 2.0
RATIO = "\N{GREEK SMALL LETTER BETA} / \N{GREEK SMALL LETTER ALPHA}"
ABOUT_LIMIT = f"theorem: {RATIO} < {LIMIT:g}"
ABOUT_NUMBERS = (
    "\N{GREEK SMALL LETTER ALPHA}: the least of all pairs of images found by descent, so at least the true one. "
    "\N{GREEK SMALL LETTER BETA}: the largest found, so at most the true one. The true ratio is therefore at least the "
    f"one shown: above {LIMIT:g} the theorem surely does not apply; below, it may."
)


def restricted_eigenvalues(
    context: Context,
    *,
    title: str,
    cases: list[str],
    groups: dict[str, list[str]],
    methods: list[str],
    x: str = "ratio",
    x_label: str = "compression ratio m/n",
    caption: str = "",
) -> None:
    """Draw beta / alpha against the operator's setting `x`, one panel per method and one line per group of cases.

    alpha is the least `rec-alpha` of a case's rows, beta the largest `rec-beta`. `groups` is {title: cases}; a later
    group is darker. The dashed line is the bound of the theorem: beta / alpha < 2.
    """
    shown = ordered(context, "groups", groups, cases)
    places = {case: place(context, case, x) for case in cases}
    found = {method: [_constants(context, case, method) for case in cases] for method in methods}
    filled = [any(not each.entry.gap for each in here) for here in found.values()]
    figure, all_axes = panel_grid(min(2, len(methods)), filled)
    marks: list[style.Mark] = []
    for axes, (method, here) in zip(all_axes, found.items(), strict=True):
        axes.set_title(context.label(method))
        drawn = {each.entry.case: each.ratio for each in here if not each.entry.gap}
        if drawn:
            axes.set(xlabel=x_label, ylabel=RATIO, xscale="log", yscale="log")
            _draw(axes, shown, places, drawn)
            marks += [
                style.Mark(axes, places[case], ratio, f"{RATIO}: {ratio:.3g} at {x_label} {places[case]:.4g}")
                for case, ratio in drawn.items()
            ]
        else:
            say_why(axes, [each.entry for each in here])
    common_legend(figure, all_axes)
    everything = [each for here in found.values() for each in here]
    told = [each.entry for here, some in zip(found.values(), filled, strict=True) if some for each in here]
    notes = [" ".join(filter(None, [ABOUT_NUMBERS, caption])), *gaps(context, told)]
    shown_at = style.save(context, figure, notes, marks)
    content = {
        "alt": f"{title}. {RATIO} against {x_label}, in groups: {', '.join(shown)}; {ABOUT_LIMIT}.",
        "marks": shown_at,
        "listing": {
            "heading": ["", "group", x_label, "\N{GREEK SMALL LETTER ALPHA}", "\N{GREEK SMALL LETTER BETA}", RATIO],
            "rows": [_listed(context, shown, places, each) for each in everything],
        },
        "points": [each.as_dict(places) for each in everything],
        "gaps": gaps(context, [each.entry for each in everything]),
    }
    context.write_sidecar(methods, {"figure": content})


@dataclass(frozen=True)
class _Constants:
    """The restricted eigenvalues of a case. The entry has a gap if their ratio cannot be drawn."""

    entry: Entry
    alpha: float
    beta: float

    @property
    def ratio(self) -> float:
        """beta / alpha; NaN if alpha is zero."""
        return self.beta / self.alpha if self.alpha else math.nan

    def as_dict(self, places: Mapping[str, float]) -> dict[str, Any]:
        """For the sidecar."""
        names = {"case": self.entry.case, "method": self.entry.method, "x": places[self.entry.case]}
        return {**names, "alpha": self.alpha, "beta": self.beta, "ratio": self.ratio}


def _constants(context: Context, case: str, method: str) -> _Constants:
    """alpha = min, beta = max over the rows of a case. NaN in one row makes both NaN."""
    found = entries(context, [case], [method], [ALPHA, BETA])
    gap = next((entry.gap for entry in found if entry.gap), "")
    if gap:
        return _Constants(replace(found[0], gap=gap), math.nan, math.nan)
    alphas, betas = (context.values(case, method, metric) for metric in (ALPHA, BETA))
    broken = any(map(math.isnan, [*alphas, *betas]))
    alpha, beta = (math.nan, math.nan) if broken else (min(alphas), max(betas))
    constants = _Constants(found[0], alpha, beta)
    if math.isfinite(constants.ratio) and constants.ratio > 0:
        return constants
    return replace(constants, entry=replace(found[0], gap=f"{ALPHA} is {alpha:g} and {BETA} is {beta:g}"))


def _draw(
    axes: Axes, shown: Mapping[str, Sequence[str]], places: Mapping[str, float], drawn: Mapping[str, float]
) -> None:
    """Draw a line per group, and the bound of the theorem."""
    for title, (colour, marker) in style.group_styles(list(shown)).items():
        points = sorted((places[case], drawn[case]) for case in shown[title] if case in drawn)
        axes.plot([m for m, _ in points], [ratio for _, ratio in points], marker=marker, color=colour, label=title)
    axes.axhline(LIMIT, color=style.GREY, linestyle="--", linewidth=1, label=ABOUT_LIMIT)
    tick(axes, (places[case] for case in drawn))


def _listed(
    context: Context, shown: Mapping[str, Sequence[str]], places: Mapping[str, float], each: _Constants
) -> list[dict[str, str]]:
    """A row of the report's list of numbers."""
    case, method = each.entry.case, each.entry.method
    numbers = [each.alpha, each.beta, each.ratio]
    groups = ", ".join(title for title, cases in shown.items() if case in cases)
    texts = [groups, f"{places[case]:.4g}", *("" if math.isnan(number) else f"{number:.3g}" for number in numbers)]
    opened = {"case": case, "method": "" if context.gap(case, method) else method}
    head = {"case": case, "method": "", "text": str(context.cases[case]["label"])}
    return [head, *({**opened, "text": text} for text in texts)]
