"""One curve per method: the average of a metric over a setting of the operator.

IAGAN's Fig. 2 and, with panels, Figs 3, 5 (left) and 6 of the hybrid paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from reprior.metrics.averaging import about, average, bootstrap_interval
from reprior.render import style
from reprior.render.entries import Entry, entries
from reprior.render.panels import common_legend, gaps, marked, ordered, panel_grid, place, say_why, tick
from reprior.render.verdict import ABOUT_INTERVAL
from reprior.types import Count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "metrics"


def sweep(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    metric: str = "mse",
    x: str = "ratio",
    x_label: str = "compression ratio m/n",
    log: bool = True,
    log_x: bool = False,
    panels: dict[str, list[str]] | None = None,
    columns: Count = 2,
    caption: str = "",
) -> None:
    """Draw the average over images and its 95% bootstrap interval as a band. `log`: logarithmic y axis.

    `panels`, {title: cases}: several panels with axes of their own, `columns` side by side.
    """
    shown = ordered(context, "panels", panels, cases) if panels else {"": cases}
    places = {case: place(context, case, x) for case in cases}
    metric = context.metric(metric, cases, methods)
    found = entries(context, cases, methods, [metric])
    inside = {name: [entry for entry in found if entry.case in here] for name, here in shown.items()}
    filled = [not all(entry.gap for entry in here) for here in inside.values()]
    figure, all_axes = panel_grid(min(columns, len(shown)), filled) if panels or not any(filled) else _one()
    labels = {"x": x_label, "y": about(metric).label}
    drawn: set[str] = set()
    marks: list[style.Mark] = []
    for axes, (name, here) in zip(all_axes, shown.items(), strict=True):
        axes.set_title(name)
        if all(entry.gap for entry in inside[name]):
            say_why(axes, inside[name])
        else:
            drawn |= set(here)
            there = (entry for entry in inside[name] if not entry.gap)
            marks += [marked(context, axes, entry, places[entry.case], x_label) for entry in there]
            _draw(axes, context, {case: places[case] for case in here}, methods, metric)
            axes.set(xlabel=labels["x"], ylabel=labels["y"], yscale="log" if log else "linear")
            if log_x:
                axes.set_xscale("log")
                tick(axes, (places[case] for case in here))
            else:
                axes.locator_params(axis="x", nbins=6)  # the numbers around a single place are long
    if panels:
        common_legend(figure, all_axes)
    band = ABOUT_INTERVAL.replace("Interval", "Band") if any(entry.interval for entry in found) else ""
    notes = [" ".join(filter(None, ["Line: average over images.", band, caption]))]
    notes += gaps(context, [entry for entry in found if entry.case in drawn])
    shown_at = style.save(context, figure, notes, marks)
    alt = f"{title}. {labels['y']} against {x_label} for {', '.join(map(context.label, methods))}"
    content = {
        "alt": f"{alt}; panels: {'; '.join(shown)}." if panels else f"{alt}.",
        "marks": shown_at,
        "labels": labels,
        "points": [_point(entry, places[entry.case]) for entry in found],
        "gaps": gaps(context, found),
    }
    context.write_sidecar(methods, {"figure": content})


def _point(entry: Entry, x: float) -> dict[str, Any]:
    """For the sidecar: the numbers that the report lists below the figure."""
    texts = [entry.text("ours"), entry.text("interval")]
    own = {"case": entry.case, "method": entry.method, "x": float(f"{x:.4g}")}  # 2500/49152 has too many digits
    return {**own, "y": entry.ours, "interval": entry.interval, "texts": texts}


def _one() -> tuple[Figure, list[Axes]]:
    figure = style.new_figure(4.4, 3.0)
    return figure, [figure.add_axes((0.13, 0.14, 0.85, 0.82))]


def _draw(axes: Axes, context: Context, places: Mapping[str, float], methods: Sequence[str], metric: str) -> None:
    import pandas
    import seaborn

    rows = [
        (places[case], context.label(method), value)
        for case, method in context.filled(list(places), methods)
        for value in context.values(case, method, metric)
    ]
    styles = style.method_styles(context.spec["methods"])
    labels = [context.label(method) for method in methods]
    seaborn.lineplot(
        pandas.DataFrame(rows, columns=["x", "method", "y"]),
        x="x",
        y="y",
        hue="method",
        style="method",
        hue_order=labels,
        style_order=labels,
        palette=[styles[method][0] for method in methods],
        markers=[styles[method][1] for method in methods],
        dashes=False,
        estimator=partial(average, metric),
        errorbar=lambda numbers: bootstrap_interval(metric, numbers) or (math.nan, math.nan),
        err_kws={"alpha": 0.15, "linewidth": 0},
        ax=axes,
    )
    axes.legend(title=None)
