"""The parts that add up to a method's pictures (the hybrid paper's Fig. 4, right)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reprior.errors import UserError
from reprior.render import style
from reprior.render.pictures import Views
from reprior.render.sheet import ORIGINAL, Shot, case_groups, case_views, method_shot, sheet
from reprior.types import Count

if TYPE_CHECKING:
    from reprior.render.context import Context

SUFFIXES = (".pdf", ".png")
READS = "images"


def breakdown(
    context: Context,
    *,
    title: str,
    cases: list[str],
    methods: list[str],
    method: str,
    parts: list[list[str]] = [["gan", "α G(z)"], ["decoder", "β DD(θ)"]],  # noqa: B006 - the planner reads literals
    pictures: Count = 3,
    caption: str = "",
) -> None:
    """Draw one row per image: the original, each of `methods`, and the parts of `method`, which is one of them.

    `parts` lists the parts to show, each as [name in the file, heading].
    """
    if method not in methods:
        raise UserError(
            f"artifact {context.spec['artifact']}: the method {method}, whose parts are to be shown, is not among"
            f" `methods` ({', '.join(methods)}); add it there or correct `method`"
        )
    rows = {
        case: [_row(context, case, view, methods, method, [name for name, _ in parts]) for view in here]
        for case, here in case_views(context, cases, methods, pictures).items()
    }
    headings = [heading for _, heading in parts]
    names = [ORIGINAL, *map(context.label, methods), *headings]
    shown = case_groups(context, rows)
    about = f"{' and '.join(headings)}: the parts of {context.label(method)}, clipped to [0, 1] like every picture."
    style.save(context, sheet(names, shown), ["Under each picture: PSNR.", about])
    alt = f"{title}. Columns: {', '.join(names)}. Rows: images of {', '.join(group.label for group in shown)}."
    context.write_sidecar(methods, {"figure": {"alt": alt, "pictures": pictures}})


def _row(
    context: Context, case: str, view: Views, methods: Sequence[str], method: str, parts: Sequence[str]
) -> list[Shot]:
    whole = [Shot(view.original), *(method_shot(context, case, view, name) for name in methods)]
    return whole + [_part(context, case, view, method, part) for part in parts]


def _part(context: Context, case: str, view: Views, method: str, part: str) -> Shot:
    if method not in view.methods:
        return Shot(None, context.gap(case, method))
    if part not in view.parts[method]:
        raise UserError(
            f"{_file(context, case, view, method)}: has no part `{part}`"
            f" (parts there: {', '.join(view.parts[method]) or 'none'});"
            f" correct `parts` or `method` of artifact {context.spec['artifact']}"
        )
    return Shot(view.parts[method][part])


def _file(context: Context, case: str, view: Views, method: str) -> str:
    batches = zip(context.cases[case]["batches"], context.cell(case, method).records, strict=True)
    batch = next(batch for batch, record in batches if view.image in record["ids"])
    return str(context.folder / case / method / f"{batch}.safetensors")
