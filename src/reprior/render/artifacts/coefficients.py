"""How a number per image differs between groups of cases (the hybrid paper's Fig. 5, right)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from reprior.metrics.averaging import about
from reprior.render import style
from reprior.render.entries import Entry, entries
from reprior.render.panels import common_legend, gaps, ordered, panel_grid, place, say_why

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "metrics"
ABOUT_BOXES = "Dot: one image. Box: quartiles and median."

Numbers = Mapping[str, Mapping[float, Sequence[float]]]
"""{group: {setting of the operator: one number per image}}"""


def coefficients(
    context: Context,
    *,
    title: str,
    cases: list[str],
    groups: dict[str, list[str]],
    methods: list[str],
    metrics: list[str] = ["alpha", "beta"],  # noqa: B006 - the planner reads literals
    x: str = "ratio",
    x_label: str = "compression ratio m/n",
    caption: str = "",
) -> None:
    """Draw one panel per metric and method: one dot per image, with boxes, the groups side by side at each `x`.

    `groups` is {title: cases}; a later group is darker. Each setting `x` of the operator has its own box. A single box
    would hide how the groups differ, because the coefficients change with the number of measurements.
    """
    shown = ordered(context, "groups", groups, cases)
    places = {case: place(context, case, x) for case in cases}
    figure, all_axes = panel_grid(len(metrics), [True] * (len(metrics) * len(methods)))
    found: list[Entry] = []
    drawn: list[Entry] = []
    told: list[str] = []
    marks: list[style.Mark] = []
    for axes, (method, metric) in zip(all_axes, [(m, k) for m in methods for k in metrics], strict=True):
        here = entries(context, cases, [method], [metric])
        name = f"{context.label(method)}: {about(metric).label}"
        axes.set_title(name)
        found += here
        if all(entry.gap for entry in here):
            say_why(axes, here)
            continue
        drawn += here
        numbers = _numbers(context, shown, places, method, metric)
        axes.set_xlabel(x_label)
        marks += _draw(axes, numbers, sorted(set(places.values())))
        told.append(f"{name}: {_medians(numbers, about(metric).format)}.")
    common_legend(figure, all_axes)
    notes = [" ".join(filter(None, [ABOUT_BOXES, caption])), *_notes(context, shown, drawn)]
    shown_at = style.save(context, figure, notes, marks)
    alt = f"{title}. One dot per image against {x_label}, in groups: {', '.join(shown)}."
    about_it = {"alt": " ".join([alt, *told]), "marks": shown_at, "gaps": _notes(context, shown, found)}
    context.write_sidecar(methods, {"figure": about_it})


def _numbers(
    context: Context, shown: Mapping[str, Sequence[str]], places: Mapping[str, float], method: str, metric: str
) -> Numbers:
    """The finite numbers."""
    found: dict[str, dict[float, list[float]]] = {name: {} for name in shown}
    for name, cases in shown.items():
        for case, _ in context.filled(cases, [method]):
            values = filter(math.isfinite, context.values(case, method, metric))
            found[name].setdefault(places[case], []).extend(values)
    return found


def _draw(axes: Axes, numbers: Numbers, places: Sequence[float]) -> list[style.Mark]:
    """Draw the boxes of all groups; return a mark per dot."""
    marks: list[style.Mark] = []
    styles = style.group_styles(list(numbers))
    step = 0.8 / len(numbers)
    for index, (name, by_place) in enumerate(numbers.items()):
        colour, marker = styles[name]
        shift = (index - (len(numbers) - 1) / 2) * step
        axes.plot([], [], marker, color=colour, label=name)
        for at, values in by_place.items():
            if values:
                spread = _box(axes, places.index(at) + shift, 0.8 * step, values, colour, marker)
                texts = [f"{name}: {value:.3g} at {at:.3g}" for value in values]
                marks += map(style.Mark, [axes] * len(values), spread, values, texts)
    axes.set_xticks(range(len(places)), [f"{value:.3g}" for value in places], rotation=90 if len(places) > 5 else 0)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.grid(visible=False, axis="x")
    return marks


def _box(axes: Axes, at: float, width: float, values: Sequence[float], colour: str, marker: str) -> list[float]:
    """A box of the values and one dot per value. Returns the places of the dots.

    Dots are spread in the order of images, so that equal ones show.
    """
    axes.boxplot(
        values,
        positions=[at],
        widths=width,
        whis=(25, 75),  # no whiskers: the dots show the rest
        showfliers=False,
        showcaps=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": f"{colour}30", "edgecolor": colour, "linewidth": 0.8},
        medianprops={"color": colour, "linewidth": 2},
    )
    spread = [at + 0.7 * width * ((i + 0.5) / len(values) - 0.5) for i in range(len(values))]
    axes.plot(spread, values, marker, color=colour, markersize=3.5, markeredgewidth=0, alpha=0.8)
    return spread


def _medians(numbers: Numbers, digits: str) -> str:
    """`median CelebA 0.81, birds 0.20`, over all images of a group."""
    pooled = {name: [value for values in by_place.values() for value in values] for name, by_place in numbers.items()}
    said = [f"{name} {median(values):{digits}}" for name, values in pooled.items() if values]
    return f"median {', '.join(said)}" if said else "no finite number"


def _notes(context: Context, shown: Mapping[str, Sequence[str]], found: Sequence[Entry]) -> list[str]:
    """What is not drawn and why, each once. A group without any case is listed by its own name."""
    lines: list[str] = []
    for name, cases in shown.items():
        here = [entry for entry in found if entry.case in cases]
        reasons = dict.fromkeys(entry.gap for entry in here)
        lines += [f"{name}: {'; '.join(reasons)}"] if here and all(reasons) else gaps(context, here)
    filled = [entry for entry in found if not entry.gap]
    read = (value for entry in filled for value in context.values(entry.case, entry.method, entry.metric))
    lost = sum(not math.isfinite(value) for value in read)
    return [*dict.fromkeys(lines), *([f"not drawn: {lost} numbers that are not finite"] if lost else [])]
