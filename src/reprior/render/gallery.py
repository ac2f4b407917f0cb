"""The pictures that the report shows and opens: each embedded once, and the views of each case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.render.encode import picture_uri
from reprior.render.pictures import Views, views
from reprior.render.sheet import OBSERVED, ORIGINAL

if TYPE_CHECKING:
    import numpy as np

PICTURES = 3
"""Number of images shown per case, unless an artifact shows more."""
IN_A_ROW = 8
"""Number of views that a wide screen shows side by side."""
ENLARGED = 200
"""Pixels. Those of a narrower picture stay square when it is enlarged."""


class Pictures:
    """Embeds every picture once, as a CSS class. The page uses that class wherever it shows the picture."""

    def __init__(self) -> None:
        self.uris: dict[str, str] = {}
        """{data URI: class}"""

    def add(self, image: np.ndarray) -> str:
        """The class of a picture [C, H, W]."""
        return self.uris.setdefault(picture_uri(image), f"p{len(self.uris)}")


@dataclass(frozen=True)
class Gallery:
    """The pictures of one case; or the reason why there are none."""

    gap: str = ""
    columns: Sequence[str] = ()
    """`original`, `observed` if that is a picture, and the methods."""
    names: Sequence[str] = ()
    """How the columns are called."""
    rows: Sequence[Mapping[str, Any]] = ()
    """One per image: its name, and its shots in the order of the columns."""
    width: int = 1
    height: int = 1
    gaps: Mapping[str, str] = field(default_factory=dict)
    """{method: why it has no picture}"""

    @property
    def small(self) -> bool:
        """True if its pixels stay square."""
        return self.width < ENLARGED

    @property
    def interest(self) -> tuple[bool, int]:
        """For the case that stands for its study: its observation is a picture of its own; many views in a row."""
        original, second = (shot["picture"] for shot in self.rows[0]["shots"][:2])
        return OBSERVED in self.columns and original != second, min(len(self.columns), IN_A_ROW)

    def opened(self, label: str) -> dict[str, Any]:
        """What the page's script needs to show the pictures large."""
        rows = [
            {"image": row["image"], "shots": [[shot["picture"], shot["text"]] for shot in row["shots"]]}
            for row in self.rows
        ]
        size = {"width": self.width, "height": self.height, "small": self.small}
        return {"label": label, "names": list(self.names), "rows": rows, **size}

    def cells(self, columns: Sequence[str], count: int) -> list[list[dict[str, Any]]]:
        """Of the first images, for each of these columns: the number of the view to show, or why there is none."""
        places = {column: number for number, column in enumerate(self.columns)}
        missing = {OBSERVED: "no picture", **self.gaps}
        shown = [
            {"view": places[column]} if column in places else {"gap": missing.get(column, "not part of this case")}
            for column in columns
        ]
        return [shown for _ in self.rows[:count]]


def gallery(
    folder: Path,
    name: str,
    case: Mapping[str, Any],
    cells: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
    pictures: Pictures,
    count: int = PICTURES,
) -> Gallery:
    """The pictures of the first `count` images of a case. `cells` are the results of its methods."""
    if case["gap"]:
        return Gallery(case["gap"])
    if not cells:
        return Gallery("no artifact shows a method on this case")
    try:
        found = views(folder, name, case, list(cells), count)
    except UserError as error:
        return Gallery(str(error))
    columns = [ORIGINAL, *([] if found[0].observed is None else [OBSERVED]), *found[0].methods]
    height, width = found[0].original.shape[1:]
    rows = [{"image": view.image, "shots": _shots(view, cells, pictures)} for view in found]
    names = [labels.get(column, column) for column in columns]
    return Gallery("", columns, names, rows, width, height, case["gaps"])


def _shots(view: Views, cells: Mapping[str, Mapping[str, Any]], pictures: Pictures) -> list[dict[str, str]]:
    """The original, the observation if it is a picture, and each method's result with PSNR and status."""
    plain = [view.original] if view.observed is None else [view.original, view.observed]
    shots = [{"picture": pictures.add(image), "text": "", "status": ""} for image in plain]
    for method, image in view.methods.items():
        value, status = cells[method]["values"].get("psnr", {}).get(view.image), cells[method]["status"][view.image]
        text = "" if value is None else f"{float(value):.2f} dB"
        shots.append({"picture": pictures.add(image), "text": text, "status": "" if status == "ok" else status})
    return shots
