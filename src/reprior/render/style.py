"""The look of every figure: one style for all, and one colour per method."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    from reprior.render.context import Context

WIDTH = 7.0
"""Inches: both columns of a printed page."""
SMALL = 7
"""Points: the smallest text, still legible at print width."""
MARGIN = 0.05
"""Inches around a figure."""
GREY = "#666666"
DPI = 200

# Okabe and Ito's palette, which readers with any colour vision can tell apart; its yellow is too pale for lines.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_FIXED = {
    **{"csgm": 0, "iagan": 1, "csgm-bp": 4, "iagan-bp": 5, "dip": 2, "bicubic": 7, "naive": 3, "blurred": 3},
    **{"gan": 0, "hybrid": 1, "dd": 2, "gan-as-dip": 3},
    **{"npgd": 1, "pgd-gan": 2, "plug-and-play": 3},
}
"""Places in palette and markers. Methods of two papers that are the same idea share a place."""

# Any, since matplotlib's types list every possible key.
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


def method_styles(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """{method: (colour, marker)}. A method of the papers looks the same in every figure; others take what is left.

    If two methods of different papers have the same look, the second takes what is left, too.
    """
    methods = sorted(methods)
    taken: dict[int, str] = {}
    for method in methods:
        if method in _FIXED:
            taken.setdefault(_FIXED[method], method)
    free = [i for i in range(len(_PALETTE)) if i not in taken] or [0]
    others = [method for method in methods if method not in taken.values()]
    places = {method: i for i, method in taken.items()} | {m: free[i % len(free)] for i, m in enumerate(others)}
    return {method: (_PALETTE[places[method]], _MARKERS[places[method]]) for method in methods}


def group_styles(groups: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{group: (colour, marker)}: shades of one colour, each darker than the one before."""
    import matplotlib

    shades = [0.6 + 0.4 * i / max(1, len(groups) - 1) for i in range(len(groups))]
    colours = [matplotlib.colors.to_hex(matplotlib.colormaps["Purples"](shade)) for shade in shades]
    return {group: (colours[i], _MARKERS[i % len(_MARKERS)]) for i, group in enumerate(groups)}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, in the common style."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(_SETTINGS)
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height))


@dataclass(frozen=True)
class Mark:
    """A value of a curve, which the report shows when the pointer is near."""

    axes: Axes
    x: float
    y: float
    text: str


def save(
    context: Context, figure: Figure, notes: Iterable[str] = (), marks: Sequence[Mark] = ()
) -> list[dict[str, float | str]]:
    """Write the figure as PDF and PNG, with the scale's note and `notes` below. Equal figures give equal bytes.

    Returns where the marks are in the PNG: x and y as shares of its width and height, from the upper left, and text.
    """
    from matplotlib import pyplot

    printed = [context.origin, *notes]
    columns = int(figure.get_figwidth() * 72 / (0.52 * SMALL))  # a letter is about half as wide as high
    lines = [line for note in printed for line in textwrap.wrap(note, columns)]
    figure.text(0.01, -0.01, "\n".join(lines), fontsize=SMALL, color=GREY, va="top", style="italic")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # all has its place: laying it out for each format would take most of the time
    box = figure.get_tightbbox().padded(MARGIN)  # in inches
    undated: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    for suffix, metadata in undated.items():
        with context.writing(suffix) as path:
            figure.savefig(path, format=suffix[1:], metadata=metadata, bbox_inches=box)
    pyplot.close(figure)
    return _places(figure, box, marks)


def _places(figure: Figure, box: Bbox, marks: Sequence[Mark]) -> list[dict[str, float | str]]:
    found: list[dict[str, float | str]] = []
    for mark in marks:
        right, up = mark.axes.transData.transform((mark.x, mark.y)) / figure.dpi
        x, y = (right - box.x0) / box.width, (box.y1 - up) / box.height
        if math.isfinite(x) and math.isfinite(y):  # a logarithmic axis has no place for zero
            found.append({"x": round(x, 4), "y": round(y, 4), "text": mark.text})
    return found
