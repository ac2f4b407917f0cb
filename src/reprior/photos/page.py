"""The sheet of all pictures, and one page with pictures and numbers that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reprior.machine.files import write_text, written_atomically
from reprior.metrics.averaging import about
from reprior.render.encode import png_uri
from reprior.render.page import templates
from reprior.render.sheet import Group, Shot, sheet

Pictures = Sequence[tuple[str, Path]]
"""Names and files, in the order in which they are shown."""
Rows = Sequence[Mapping[str, Any]]
"""The numbers of each method."""
TASKS = {
    "sr": "super-resolution",
    "inpaint": "inpainting",
    "deblur": "deblurring",
    "denoise": "denoising",
    "cs": "compressed sensing",
}


def write_sheet(path: Path, title: str, pictures: Pictures, rows: Rows) -> None:
    """All pictures side by side, with the PSNR under each, or the residual if no truth is known."""
    from matplotlib import pyplot

    under = {row["method"]: _in_brief(row) for row in rows}
    shots = [Shot(_read(file), under.get(name, "")) for name, file in pictures]
    figure = sheet([name for name, _ in pictures], [Group(title, "", [shots])])
    with written_atomically(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None}, bbox_inches="tight", pad_inches=0.05)
    pyplot.close(figure)


def _in_brief(row: Mapping[str, Any]) -> str:
    said = f"{row['psnr']:.1f} dB" if "psnr" in row else f"residual {row['residual']:.3f}"
    return said if row["status"] == "ok" else f"{said}, {row['status']}"


def _read(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        levels = np.asarray(picture, np.float32) / 255
    return levels.transpose(2, 0, 1) if levels.ndim == 3 else levels[None]


def write_page(path: Path, pictures: Pictures, rows: Rows, record: Mapping[str, Any]) -> None:
    """The page: what was done, pictures, numbers, and how to make them again."""
    environment = templates("reprior.photos", "templates")
    metrics = [key for key in rows[0] if key not in ("method", "seconds", "status", "residual")]
    under = {row["method"]: _in_brief(row) for row in rows}
    text = environment.get_template("photo.html").render(
        record=record,
        task=TASKS[record["task"]["name"]],
        pictures=[(name, png_uri(file), under.get(name, "")) for name, file in pictures],
        headings=[about(metric).label for metric in metrics],
        rows=[(row, [format(row[metric], about(metric).format) for metric in metrics]) for row in rows],
        runs={row["method"]: [_shown(spec) for spec in record["methods"][row["method"]]["runs"]] for row in rows},
    )
    write_text(path, text)


def _shown(spec: Mapping[str, Any]) -> str:
    """`csgm (steps: 100, lr: 0.1)`"""
    settings = ", ".join(f"{key}: {value}" for key, value in spec.items() if key != "name")
    return f"{spec['name']} ({settings})" if settings else str(spec["name"])
