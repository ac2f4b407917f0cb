"""What figures with several axes share: groups of cases, a case's place on the x axis, what is missing and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.render import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprior.render.context import Context
    from reprior.render.entries import Entry


def ordered(
    context: Context, setting: str, named: Mapping[str, Sequence[str]], known: Sequence[str], each: str = "case"
) -> dict[str, list[str]]:
    """The artifact's `setting`, {title: cases}, sorted by where its cases are in `known`, the shorter first.

    The order in the study is lost, because a spec is JSON with sorted keys. `each` says what it names: a `method`?
    """
    key = f"artifact {context.spec['artifact']}: {setting}"
    for title, here in named.items():
        unknown = [name for name in here if name not in known]
        if unknown or not here:
            what = (
                f"`{unknown[0]}` is not among `{each}s`; add it there or correct it" if unknown else f"names no {each}"
            )
            raise UserError(f"{key}.{title}: {what}")
    left = [name for name in known if not any(name in here for here in named.values())]
    if left:
        what = f"the {each} `{left[0]}` of `{each}s` is in none"
        raise UserError(f"{key}: {what}; add it to one or remove it from `{each}s`")
    return {title: list(named[title]) for title in sorted(named, key=lambda title: [*map(known.index, named[title])])}


def place(context: Context, case: str, x: str) -> float:
    """The place of a case on the axis of an operator's setting `x`, of `noise_norm`, or of 255 times `noise`."""
    spec = context.cases[case]
    if x in ("noise", "noise_norm") and x in spec:
        return float(spec[x]) * (255 if x == "noise" else 1)
    operator: Mapping[str, Any] = spec["operator"]
    if isinstance(operator.get(x), int | float):
        return float(operator[x])
    raise UserError(
        f"artifact {context.spec['artifact']}: the operator {operator['name']} of case {case} has no number `{x}`; "
        f"set `x` to one of its settings: {', '.join(key for key in operator if key != 'name') or '(none)'}"
    )


def gaps(context: Context, found: Sequence[Entry]) -> list[str]:
    """What is not drawn and why, one line per reason: `m/n = 0.1; m/n = 0.2, CSGM: no weights`."""
    lacking: dict[tuple[str, str], dict[str, None]] = {}
    for entry in found:
        if entry.gap:
            lacking.setdefault((entry.gap, entry.case), {})[context.label(entry.method)] = None
    everyone = len({entry.method for entry in found})
    lines: dict[str, dict[str, list[str]]] = {}
    for (gap, case), labels in lacking.items():
        who = "" if len(labels) == everyone else f", {', '.join(labels)}"
        lines.setdefault(gap, {}).setdefault(who, []).append(str(context.cases[case]["label"]))
    return [f"{'; '.join('; '.join(cases) + who for who, cases in here.items())}: {gap}" for gap, here in lines.items()]


def marked(context: Context, axes: Axes, entry: Entry, x: float, x_label: str) -> style.Mark:
    """An average and its interval, at its place in a panel: `CSGM: 0.012 (0.010–0.014) at m/n 0.1`."""
    interval = f" ({entry.text('interval')})" if entry.interval else ""
    text = f"{context.label(entry.method)}: {entry.text('ours')}{interval} at {x_label} {x:.4g}"
    return style.Mark(axes, x, math.nan if entry.ours is None else entry.ours, text)


def panel_grid(columns: int, filled: Sequence[bool]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each of `filled`, `columns` side by side. Rows with none filled are low."""
    rows = math.ceil(len(filled) / columns)
    heights = [2.4 if any(filled[row * columns : (row + 1) * columns]) else 0.9 for row in range(rows)]
    figure = style.new_figure(min(style.WIDTH, 3.5 * columns), 0.3 + sum(heights))
    figure.set_layout_engine("constrained")
    cells = figure.add_gridspec(rows, columns, height_ratios=heights)
    return figure, [figure.add_subplot(cells[divmod(number, columns)]) for number in range(len(filled))]


def tick(axes: Axes, values: Iterable[float]) -> None:
    """Mark these values on the x axis, and no others: powers of ten would say little on a logarithmic one."""
    places = sorted(set(values))
    axes.set_xticks(places, [f"{value:.4g}" for value in places], rotation=90 if len(places) > 6 else 0)
    axes.set_xticks([], minor=True)


def few_ticks(axes: Axes) -> None:
    """Mark a few round numbers on a logarithmic x axis shorter than a factor of ten. Its own marks would overlap."""
    from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

    low, high = axes.get_xlim()
    if high < 10 * low:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())


def common_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend above all panels, of everything that they show, instead of one in each."""
    shown: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        shown |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in shown}
        if legend := axes.get_legend():
            legend.remove()
    if shown:
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=len(shown))


def say_why(axes: Axes, found: Sequence[Entry]) -> None:
    """Write the reasons into a panel that has no numbers, wrapped to its width."""
    reasons = dict.fromkeys(entry.gap for entry in found)
    points = 72 * axes.bbox.width / axes.figure.dpi
    text = fill(f"no numbers: {'; '.join(reasons)}", int(points / (0.55 * style.SMALL)))
    axes.text(0, 1, text, transform=axes.transAxes, va="top", size=style.SMALL, color=style.GREY)
    axes.axis("off")
