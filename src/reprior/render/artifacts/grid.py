"""Pictures side by side: original, observed and each method (IAGAN's Figs 1, 3, 4 and 6 to 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from reprior.render import style
from reprior.render.pictures import Views, pixels, views
from reprior.types import Count

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "images"
ORIGINAL, OBSERVED = "original", "observed"
HEADING = 0.22
"""Height of a group's heading, in widths of a picture."""
UNDER = 0.16
"""Height of the text under a picture, in widths of a picture."""
GUTTER = 0.04
"""Space between two pictures, in widths of a picture."""


def grid(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    pictures: Count = 3,
    caption: str = "",
) -> None:
    """Draw one row an image and one column a view, the PSNR under each; several cases are groups of rows."""
    groups = [_group(context, case, methods, pictures) for case in cases]
    has_look = any(view.observed is not None for group in groups for view in group.views)
    columns = [ORIGINAL, *([OBSERVED] if has_look else []), *methods]
    height = HEADING + sum(group.height for group in groups)
    cell = min(1.3, style.WIDTH / len(columns))
    figure = style.new_figure(cell * len(columns), cell * height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, len(columns)), ylim=(height, 0))
    axes.axis("off")
    _draw(axes, context, groups, columns)
    style.save(context, figure, ["Under each picture: PSNR."])
    names = [context.label(column) if column in methods else column for column in columns]
    alt = f"{title}. Columns: {', '.join(names)}. Rows: images of {', '.join(group.label for group in groups)}."
    context.write_sidecar(methods, {"figure": {"alt": alt, "pictures": pictures}})


@dataclass(frozen=True)
class _Group:
    """The rows of one case."""

    case: str
    label: str
    gap: str
    views: Sequence[Views]

    @property
    def height(self) -> float:
        """In widths of a picture; a group without pictures has room for its reason."""
        return HEADING + (1 + UNDER) * len(self.views) if self.views else HEADING + 0.5


def _group(context: Context, case: str, methods: Sequence[str], pictures: int) -> _Group:
    label, gap = str(context.cases[case]["label"]), context.gap(case)
    here = [method for method in methods if not context.gap(case, method)]
    found = [] if gap else views(context.folder, case, context.cases[case], here, pictures)
    return _Group(case, label, gap, found)


def _draw(axes: Axes, context: Context, groups: Sequence[_Group], columns: Sequence[str]) -> None:
    for index, column in enumerate(columns):
        name = column if column in (ORIGINAL, OBSERVED) else context.label(column)
        axes.text(index + 0.5, HEADING * 0.7, fill(name, 13), ha="center", va="bottom", weight="bold")
    top = HEADING
    for group in groups:
        axes.text(GUTTER / 2, top + HEADING * 0.75, group.label, va="bottom")
        if group.gap:
            reason = fill(f"no pictures: {group.gap}", 28 * len(columns))
            axes.text(GUTTER / 2, top + HEADING + 0.05, reason, va="top", color=style.GREY)
        for row, view in enumerate(group.views):
            _draw_row(axes, context, group.case, view, columns, top + HEADING + row * (1 + UNDER))
        top += group.height


def _draw_row(axes: Axes, context: Context, case: str, view: Views, columns: Sequence[str], top: float) -> None:
    fixed: Mapping[str, np.ndarray | None] = {ORIGINAL: view.original, OBSERVED: view.observed}
    for left, column in enumerate(columns):
        image = fixed[column] if column in fixed else view.methods.get(column)
        if image is not None:
            _draw_picture(axes, pixels(image), left, top)
            axes.text(left + 0.5, top + 1, _under(context, case, view, column), ha="center", va="top", size=style.SMALL)
        else:
            reason = "no picture" if column in fixed else context.gap(case, column)
            axes.text(left + 0.5, top + 0.5, fill(reason, 12), ha="center", va="center", color=style.GREY)


def _draw_picture(axes: Axes, picture: np.ndarray, left: int, top: float) -> None:
    """`picture` [H, W, 3] in the square below and right of (left, top); the pixels of a small one stay squares."""
    inset = GUTTER / 2
    extent = (left + inset, left + 1 - inset, top + 1 - inset, top + inset)
    small = picture.shape[1] < style.DPI
    axes.imshow(picture, extent=extent, interpolation="nearest" if small else "antialiased", aspect="auto")


def _under(context: Context, case: str, view: Views, column: str) -> str:
    """The PSNR of a method's picture, and its status where it is not ok."""
    if column not in view.methods:
        return ""
    cell = context.cell(case, column)
    value, status = cell.values.get("psnr", {}).get(view.image), cell.status[view.image]
    said = [] if value is None else [f"{value:.1f} dB"]
    return ", ".join(said + ([] if status == "ok" else [status]))
