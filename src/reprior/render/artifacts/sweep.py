"""A curve a method: the average of a metric against a setting of the operator (IAGAN's Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.metrics.averaging import about, average, bootstrap_interval
from reprior.render import style
from reprior.render.entries import Entry, entries
from reprior.render.verdict import ABOUT_INTERVAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    caption: str = "",
) -> None:
    """Draw the average over images in a band that is its 95% bootstrap interval, on a logarithmic axis if `log`."""
    places = {case: _place(context, case, x) for case in cases}
    metric = context.metric(metric, cases, methods)
    found = entries(context, cases, methods, [metric])
    gaps = _gaps(context, found)
    figure = style.new_figure(4.4, 3.0)
    axes = figure.add_axes((0.13, 0.14, 0.85, 0.82))
    _draw(axes, context, places, methods, metric)
    axes.set(xlabel=x_label, ylabel=about(metric).label, yscale="log" if log else "linear")
    band = ABOUT_INTERVAL.replace("Interval", "Band") if any(entry.interval for entry in found) else ""
    style.save(context, figure, [" ".join(filter(None, ["Line: average over images.", band, caption])), *gaps])
    points = [
        {
            "case": entry.case,
            "method": entry.method,
            "x": places[entry.case],
            "y": entry.ours,
            "interval": entry.interval,
            "texts": [entry.text("ours"), entry.text("interval")],
        }
        for entry in found
    ]
    labels = {"x": x_label, "y": about(metric).label}
    alt = f"{title}. {about(metric).label} against {x_label} for {', '.join(map(context.label, methods))}."
    context.write_sidecar(methods, {"figure": {"alt": alt, "labels": labels, "points": points, "gaps": gaps}})


def _place(context: Context, case: str, x: str) -> float:
    operator: Mapping[str, Any] = context.cases[case]["operator"]
    if isinstance(operator.get(x), int | float):
        return float(operator[x])
    raise UserError(
        f"artifact {context.spec['artifact']}: the operator {operator['name']} of case {case} has no number `{x}`; "
        f"set `x` to one of its settings: {', '.join(key for key in operator if key != 'name') or '(none)'}"
    )


def _gaps(context: Context, found: Sequence[Entry]) -> list[str]:
    """What is not drawn and why, a line for all methods that lack the same: `m/n = 0.1: no weights`."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for entry in found:
        if entry.gap:
            lacking.setdefault((entry.case, entry.gap), []).append(context.label(entry.method))
    everyone = len({entry.method for entry in found})
    return [
        f"{context.cases[case]['label']}{'' if len(labels) == everyone else ', ' + ', '.join(labels)}: {gap}"
        for (case, gap), labels in lacking.items()
    ]


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
