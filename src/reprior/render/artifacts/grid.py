"""Pictures side by side: original, observed and each method (IAGAN's Figs 1, 3, 4 and 6 to 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from reprior.render import style
from reprior.render.pictures import Views
from reprior.render.sheet import OBSERVED, ORIGINAL, Shot, case_groups, case_views, method_shot, sheet
from reprior.types import Count

if TYPE_CHECKING:
    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "images"


def grid(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    pictures: Count = 3,
    originals: bool = True,
    caption: str = "",
) -> None:
    """Draw one row per image and one column per view, with the PSNR under each. Each case is a group of rows.

    A method without any picture has no column; the notes say why. Without `originals` there is neither their column nor
    a PSNR: for images that need not be like them.
    """
    found = case_views(context, cases, methods, pictures)
    has_look = any(view.observed is not None for here in found.values() for view in here)
    drawn = [method for method in methods if any(method in view.methods for here in found.values() for view in here)]
    columns = [*([ORIGINAL] if originals else []), *([OBSERVED] if has_look else []), *(drawn or methods)]
    rows = {
        case: [[_shot(context, case, view, column, originals) for column in columns] for view in here]
        for case, here in found.items()
    }
    names = [context.label(column) if column in methods else column for column in columns]
    shown = case_groups(context, rows)
    notes = ["Under each picture: PSNR."] if originals else []
    notes += _left_out(context, found, methods, drawn)
    style.save(context, sheet(names, shown), notes)
    alt = f"{title}. Columns: {', '.join(names)}. Rows: images of {', '.join(group.label for group in shown)}."
    live = {"pictures": pictures, "columns": columns, "judged": originals, "notes": notes}
    context.write_sidecar(methods, {"figure": {"alt": alt, **live}})


def _left_out(
    context: Context, found: Mapping[str, Sequence[Views]], methods: Sequence[str], drawn: Sequence[str]
) -> list[str]:
    """Why methods have no column, one line per reason: `CSGM: no weights`."""
    lacking: dict[str, dict[str, None]] = {}
    for case, method in product((case for case, views in found.items() if views), methods):
        if method not in drawn:
            lacking.setdefault(context.gap(case, method), {})[context.label(method)] = None
    return [f"{', '.join(labels)}: {reason}" for reason, labels in lacking.items()]


def _shot(context: Context, case: str, view: Views, column: str, judged: bool) -> Shot:
    if column == ORIGINAL:
        return Shot(view.original)
    if column == OBSERVED:
        return Shot(view.observed, "" if view.observed is not None else "no picture")
    return method_shot(context, case, view, column, judged)
