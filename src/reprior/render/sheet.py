"""Pictures in rows and columns, with a text under each: what `grid` and `breakdown` draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from reprior.render import style
from reprior.render.pictures import Views, pixels, views

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprior.render.context import Context

ORIGINAL, OBSERVED = "original", "observed"
HEADING = 0.22
"""Height of a group's heading, in widths of a picture."""
UNDER = 0.16
"""Height of the text under a picture, in widths of a picture."""
GUTTER = 0.04
"""Space between two pictures, in widths of a picture."""
LETTER = 4.4
"""Width of a letter of a reason, in points."""


@dataclass(frozen=True)
class Shot:
    """A picture [3, H, W] on the [0, 1] scale and the text under it; or no picture and the reason."""

    image: np.ndarray | None
    text: str = ""


@dataclass(frozen=True)
class Group:
    """The rows of one case, one per image; or the reason why there are none."""

    label: str
    gap: str
    rows: Sequence[Sequence[Shot]]

    @property
    def height(self) -> float:
        """In widths of a picture; a group without pictures has room for its reason."""
        return HEADING + (1 + UNDER) * len(self.rows) if self.rows else HEADING + 0.5


def case_views(context: Context, cases: Sequence[str], methods: Sequence[str], count: int) -> dict[str, list[Views]]:
    """The first `count` images of each case, with the results of its methods; [] for a case with a gap."""
    found: dict[str, list[Views]] = {}
    for case in cases:
        here = [method for method in methods if not context.gap(case, method)]
        gap = context.gap(case)
        found[case] = [] if gap else views(context.folder, case, context.cases[case], here, count)
    return found


def case_groups(context: Context, rows: Mapping[str, Sequence[Sequence[Shot]]]) -> list[Group]:
    """One group per case of `rows`."""
    return [Group(str(context.cases[case]["label"]), context.gap(case), here) for case, here in rows.items()]


def method_shot(context: Context, case: str, view: Views, method: str, judged: bool = True) -> Shot:
    """A method's result for an image, with the PSNR if it is `judged`, and with the status if it is not ok."""
    if method not in view.methods:
        return Shot(None, context.gap(case, method))
    cell = context.cell(case, method)
    value = cell.values.get("psnr", {}).get(view.image) if judged else None
    status = cell.status[view.image]
    said = [] if value is None else [f"{value:.1f} dB"]
    return Shot(view.methods[method], ", ".join(said + ([] if status == "ok" else [status])))


def sheet(columns: Sequence[str], groups: Sequence[Group]) -> Figure:
    """A figure of all groups below each other, with one heading per column."""
    height = HEADING + sum(group.height for group in groups)
    cell = min(1.3, style.WIDTH / len(columns))
    figure = style.new_figure(cell * len(columns), cell * height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, len(columns)), ylim=(height, 0))
    axes.axis("off")
    for left, column in enumerate(columns):
        axes.text(left + 0.5, HEADING * 0.7, fill(column, 13), ha="center", va="bottom", weight="bold")
    top = HEADING
    for group in groups:
        _draw_group(axes, group, top, int(cell * len(columns) * 72 / LETTER))
        top += group.height
    return figure


def _draw_group(axes: Axes, group: Group, top: float, letters: int) -> None:
    axes.text(GUTTER / 2, top + HEADING * 0.75, group.label, va="bottom")
    if group.gap:
        reason = fill(f"no pictures: {group.gap}", letters)
        axes.text(GUTTER / 2, top + HEADING + 0.05, reason, va="top", color=style.GREY)
    for row, shots in enumerate(group.rows):
        for left, shot in enumerate(shots):
            _draw_shot(axes, shot, left, top + HEADING + row * (1 + UNDER))


def _draw_shot(axes: Axes, shot: Shot, left: int, top: float) -> None:
    if shot.image is not None:
        _draw_picture(axes, pixels(shot.image), left, top)
        axes.text(left + 0.5, top + 1, shot.text, ha="center", va="top", size=style.SMALL)
    else:
        axes.text(left + 0.5, top + 0.5, fill(shot.text, 12), ha="center", va="center", color=style.GREY)


def _draw_picture(axes: Axes, picture: np.ndarray, left: int, top: float) -> None:
    """`picture` [H, W, 3] in the square below and right of (left, top). Pixels of small pictures stay square."""
    inset = GUTTER / 2
    extent = (left + inset, left + 1 - inset, top + 1 - inset, top + inset)
    small = picture.shape[1] < style.DPI
    shown = "nearest" if small else "antialiased"
    # The colour map is for pictures of one channel; others are shown as they are.
    axes.imshow(picture, "gray", vmin=0, vmax=255, extent=extent, interpolation=shown, aspect="auto")
