"""The average of a metric against what it costs: one point per method, which stands for a budget.

NPGD's comparison with CSGM in time, and its convergence over iterations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.metrics.averaging import about
from reprior.render import style
from reprior.render.entries import Entry, entries
from reprior.render.panels import common_legend, few_ticks, gaps, marked, ordered, panel_grid, say_why, tick
from reprior.render.verdict import ABOUT_INTERVAL
from reprior.types import Count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "metrics"
COSTS = ("seconds", "passes")
"""What results say of themselves."""
FEW = 10
"""Points of a panel that get names. More of them would leave no room."""
_AROUND = (
    *((6, 0, "left", "center"), (-6, 0, "right", "center"), (0, 6, "center", "bottom"), (0, -6, "center", "top")),
    *((5, 5, "left", "bottom"), (5, -5, "left", "top"), (-5, 5, "right", "bottom"), (-5, -5, "right", "top")),
)
"""Where a name may be: points to the right and up, and how the text is aligned."""


def budget(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    metric: str = "mse",
    x: str = "seconds",
    x_label: str = "",
    log_x: bool = True,
    log_y: bool = True,
    curves: dict[str, list[str]] | None = None,
    columns: Count = 2,
    caption: str = "",
) -> None:
    """Draw one panel per case, `columns` side by side. A bar is the 95% bootstrap interval of an average.

    `x` is what an image cost on average, `seconds` or `passes` through networks, or a setting of the methods, such as
    `steps`. `curves` is {title: methods}: a line joins them in this order. If not given, each method is a point of its
    own.
    """
    wanted = curves or {context.label(method): [method] for method in methods}
    shown = ordered(context, "curves", wanted, methods, "method")
    metric = context.metric(metric, cases, methods)
    labels = {"x": x_label or (about(x).label if x in COSTS else x), "y": about(metric).label}
    scales = {"xscale": "log" if log_x else "linear", "yscale": "log" if log_y else "linear"}
    points = [_point(context, entry, x, scales) for entry in entries(context, cases, methods, [metric])]
    panels = {case: [point for point in points if point.entry.case == case] for case in cases}
    filled = [any(point.drawn for point in here) for here in panels.values()]
    looks = _looks(shown)
    figure, all_axes = panel_grid(min(columns, len(cases)), filled)
    for axes, (case, here) in zip(all_axes, panels.items(), strict=True):
        axes.set_title(str(context.cases[case]["label"]))
        if any(point.drawn for point in here):
            axes.set(xlabel=labels["x"], ylabel=labels["y"], **scales)
            _draw(axes, shown, looks, here)
            if x in COSTS:
                axes.margins(x=0.32)  # room for names beside the outermost points
                if log_x:
                    few_ticks(axes)
            elif log_x:
                tick(axes, (point.x for point in here if point.drawn))
        else:
            say_why(axes, [point.entry for point in here])
    common_legend(figure, all_axes)
    figure.draw_without_rendering()  # from here on everything has its place
    if x in COSTS:  # a setting is on the axis itself
        for axes, here in zip(all_axes, panels.values(), strict=True):
            _name(axes, context, looks, [point for point in here if point.drawn])
    told = [point.entry for point in points if filled[cases.index(point.entry.case)]]
    bar = ABOUT_INTERVAL.replace("Interval", "Bar") if any(point.entry.interval for point in points) else ""
    notes = [" ".join(filter(None, ["Point: average over images.", bar, caption]))]
    marks = [
        marked(context, axes, point.entry, point.x, labels["x"])
        for axes, here in zip(all_axes, panels.values(), strict=True)
        for point in here
        if point.drawn
    ]
    shown_at = style.save(context, figure, notes + gaps(context, told), marks)
    names = "; ".join(str(context.cases[case]["label"]) for case in cases)
    alt = f"{title}. {labels['y']} against {labels['x']} for {', '.join(shown)}; panels: {names}."
    context.write_sidecar(methods, {"figure": {"alt": alt, "marks": shown_at, **_numbers(context, labels, points)}})


@dataclass(frozen=True)
class _Point:
    """A method on a case: its cost, and its average. The entry has a gap if it cannot be drawn."""

    entry: Entry
    x: float

    @property
    def drawn(self) -> bool:
        """Whether it is in the figure."""
        return not self.entry.gap

    @property
    def y(self) -> float:
        """The average."""
        return math.nan if self.entry.ours is None else self.entry.ours

    @property
    def bar(self) -> list[list[float]]:
        """How far the interval reaches below and above the average."""
        low, high = self.entry.interval or (self.y, self.y)
        return [[self.y - low], [high - self.y]]

    def as_dict(self) -> dict[str, Any]:
        """For the sidecar."""
        entry = self.entry
        return {"case": entry.case, "method": entry.method, "x": self.x, "y": entry.ours, "interval": entry.interval}


def _point(context: Context, entry: Entry, x: str, scales: Mapping[str, str]) -> _Point:
    if entry.gap:
        return _Point(entry, math.nan)
    point = _Point(entry, _cost(context, entry.case, entry.method, x))
    for name, value, scale in ((x, point.x, scales["xscale"]), (entry.metric, point.y, scales["yscale"])):
        if not math.isfinite(value) or (value <= 0 and scale == "log"):
            return replace(
                point, entry=replace(entry, gap=f"{name} is {value:g}, which has no place on a {scale} axis")
            )
    return point


def _cost(context: Context, case: str, method: str, x: str) -> float:
    """The place of a method on the axis."""
    if x in COSTS:
        cost = context.cell(case, method).average(x)
        return math.nan if cost is None else cost
    settings: Mapping[str, Any] = context.cases[case]["methods"][method]["settings"]
    if isinstance(settings.get(x), int | float):
        return float(settings[x])
    known = ", ".join(key for key in settings if key != "name") or "(none)"
    raise UserError(
        f"artifact {context.spec['artifact']}: the method {method} of case {case} has no number `{x}`; set `x` to"
        f" `seconds`, `passes` or one of its settings: {known}"
    )


def _looks(shown: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    """{method: (colour, marker)}, one look per curve: that of its shortest name, such as `csgm` of csgm-500, csgm."""
    leaders = {title: min(methods, key=len) for title, methods in shown.items()}
    looks = style.method_styles(leaders.values())
    return {method: looks[leaders[title]] for title, methods in shown.items() for method in methods}


def _draw(
    axes: Axes, shown: Mapping[str, Sequence[str]], looks: Mapping[str, tuple[str, str]], here: Sequence[_Point]
) -> None:
    """Draw a curve per title through those of its methods that have a point."""
    points = {point.entry.method: point for point in here if point.drawn}
    for title, methods in shown.items():
        colour, marker = looks[methods[0]]
        each = [points[method] for method in methods if method in points]
        axes.plot([p.x for p in each], [p.y for p in each], marker=marker, color=colour, label=title)
        for point in each:
            axes.errorbar([point.x], [point.y], point.bar, color=colour, elinewidth=0.9, capsize=2)
    axes.margins(x=0.15, y=0.2)


def _name(axes: Axes, context: Context, looks: Mapping[str, tuple[str, str]], points: Sequence[_Point]) -> None:
    """Write the label of each method, in its colour, near its point or an end of its bar, where it hides nothing.

    A point without such a place stays without a name.
    """
    if len(points) > FEW:
        return
    taken = [_around(axes, point) for point in points]
    for point in points:
        for at, (right, up, horizontal, vertical) in product((point.y, *(point.entry.interval or ())), _AROUND):
            name = axes.annotate(
                context.label(point.entry.method),
                (point.x, at),
                (right, up),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                size=style.SMALL,
                color=looks[point.entry.method][0],
            )
            name.set_in_layout(False)  # else the panels would move once more
            if _free(axes, name, taken):
                taken.append(name.get_window_extent().padded(1))
                break
            name.remove()


def _around(axes: Axes, point: _Point) -> Bbox:
    """The box of a marker."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.x, point.y))
    return Bbox([(x, y), (x, y)]).padded(3 * axes.figure.dpi / 72)


def _free(axes: Axes, name: Annotation, taken: Sequence[Bbox]) -> bool:
    """Whether a name is inside the panel, apart from other names and markers, and not crossed by a curve or a bar."""
    box = name.get_window_extent().padded(axes.figure.dpi / 72)
    inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
    drawn = [(line.get_path(), line.get_transform()) for line in axes.lines]
    drawn += [(path, bars.get_transform()) for bars in axes.collections for path in bars.get_paths()]
    crossed = any(path.transformed(place).intersects_bbox(box, filled=False) for path, place in drawn)
    return inside and not crossed and not any(box.overlaps(other) for other in taken)


def _numbers(context: Context, labels: Mapping[str, str], points: Sequence[_Point]) -> dict[str, Any]:
    """For the sidecar: the numbers that the report lists below the figure."""
    heading = ["", "method", labels["x"], labels["y"], "interval"]
    return {
        "listing": {"heading": heading, "rows": [_listed(context, point) for point in points]},
        "points": [point.as_dict() for point in points],
        "gaps": gaps(context, [point.entry for point in points]),
    }


def _listed(context: Context, point: _Point) -> list[dict[str, str]]:
    """A row of the report's list of numbers."""
    entry = point.entry
    cell = {"case": entry.case, "method": "" if context.gap(entry.case, entry.method) else entry.method}
    x = "" if math.isnan(point.x) else f"{point.x:.4g}"
    interval = entry.text("interval") if entry.interval else ""
    head = {"case": entry.case, "method": "", "text": str(context.cases[entry.case]["label"])}
    texts = [context.label(entry.method), x, entry.text("ours"), interval]
    return [head, *({**cell, "text": text} for text in texts)]
