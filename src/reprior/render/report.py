"""The report: one HTML file with every table, figure and picture, and with how each cell was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior import __version__
from reprior.errors import UserError
from reprior.machine.files import read_json, write_text
from reprior.render.encode import figure_uri, picture_uri
from reprior.render.entries import LINES, NOTHING, Entry
from reprior.render.page import interest, template
from reprior.render.pictures import Views, views
from reprior.render.verdict import ABOUT_VERDICT, counted

if TYPE_CHECKING:
    import numpy as np

PICTURES = 3
"""Number of images shown per case."""


def build(sidecars: Sequence[Path], out: Path, command: str) -> None:
    """Write one self-contained page from the sidecars of all artifacts, in the order given.

    `command` is the command that made the report. Pictures are read from the results that the sidecars name.
    """
    read = [(path, read_json(path)) for path in sidecars]
    if not read:
        raise UserError("the report has nothing to show: no study of config.yaml has an artifact")
    names = _distinct(sidecar["study"] for _, sidecar in read)
    studies = [_Study(name, [pair for pair in read if pair[1]["study"] == name]) for name in names]
    pictures = _Pictures()
    page = template().render(
        studies=[study.view(pictures) for study in studies],
        pictures=pictures.uris,
        scale=read[0][1]["scale_title"],
        notes=_notes([sidecar for _, sidecar in read if sidecar["note"]]),
        comparable=all(sidecar["comparable"] for _, sidecar in read),
        command=command,
        version=__version__,
    )
    write_text(out, page)


def _notes(sidecars: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scale's notes on its studies, each with the study's name if they differ."""
    notes = {sidecar["study"]: str(sidecar["note"]) for sidecar in sidecars}
    alike = _distinct(notes.values())
    return alike if len(alike) < 2 else [f"{study}: {note}" for study, note in notes.items()]


class _Pictures:
    """Embeds every picture once, as a CSS class. The page uses that class wherever it shows the picture."""

    def __init__(self) -> None:
        self.uris: dict[str, str] = {}
        """{data URI: class}"""

    def add(self, image: np.ndarray) -> str:
        """The class of a picture [3, H, W]."""
        return self.uris.setdefault(picture_uri(image), f"p{len(self.uris)}")


@dataclass(frozen=True)
class _Study:
    """What the sidecars say of one study."""

    name: str
    sidecars: Sequence[tuple[Path, Mapping[str, Any]]]

    @cached_property
    def labels(self) -> dict[str, str]:
        """{method: label}"""
        return {method: label for _, sidecar in self.sidecars for method, label in sidecar["labels"].items()}

    @cached_property
    def methods(self) -> list[str]:
        """Every method that an artifact shows."""
        return _merged(sidecar["methods"] for _, sidecar in self.sidecars)

    @cached_property
    def cases(self) -> dict[str, Mapping[str, Any]]:
        """Every case that an artifact names."""
        found = {name: case for _, sidecar in self.sidecars for name, case in sidecar["cases"].items()}
        return {name: found[name] for name in _merged(sidecar["settings"]["cases"] for _, sidecar in self.sidecars)}

    @cached_property
    def cells(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """{case: {method: its numbers and records}}"""
        found: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in self.cases}
        for _, sidecar in self.sidecars:
            for case, methods in sidecar["cells"].items():
                found[case] |= methods
        return {case: {m: methods[m] for m in self.methods if m in methods} for case, methods in found.items()}

    def view(self, pictures: _Pictures) -> dict[str, Any]:
        """The study as the template needs it."""
        return {
            "name": self.name,
            "title": self.sidecars[0][1]["study_title"],
            "labels": self.labels,
            "methods": self.methods,
            "artifacts": [_artifact(path, sidecar) for path, sidecar in self.sidecars],
            "cases": {name: self._case(name, pictures) for name in self.cases},
            "cells": {
                case: {method: {**cell, **self._numbers(case, method)} for method, cell in methods.items()}
                for case, methods in self.cells.items()
            },
            "verdicts": counted(entry["verdict"] for entry in self.entries),
            "rule": ABOUT_VERDICT,
        }

    @cached_property
    def entries(self) -> list[Mapping[str, Any]]:
        """The entries of every table."""
        return [entry for _, sidecar in self.sidecars for entry in sidecar.get("table", {}).get("entries", ())]

    def _numbers(self, case: str, method: str) -> dict[str, Any]:
        """Every average of a cell, with the paper's number if a table has one, and which lines to show."""
        cell = self.cells[case][method]
        here = [e for e in self.entries if (e["case"], e["method"]) == (case, method) and e["paper"] is not None]
        judged = {(entry["metric"], entry["paper"]): {**entry, "best": False} for entry in here}
        others = sorted(set(cell["averages"]) - {metric for metric, _ in judged})
        alone = [_alone(case, method, metric, cell) for metric in others]
        numbers = sorted([*judged.values(), *alone], key=lambda entry: interest(entry["metric"]))
        lines = [line for line in LINES if any(entry["lines"][line]["text"] != NOTHING for entry in numbers)]
        return {"numbers": numbers, "lines": lines}

    def _case(self, name: str, pictures: _Pictures) -> dict[str, Any]:
        """A case with its pictures, and the generator that its methods actually used."""
        records = (record for cell in self.cells[name].values() for record in cell["records"])
        generator = next((record["generator"] for record in records if record["generator"]), None)
        return {**self.cases[name], "generator": generator, "viewer": self._viewer(name, pictures)}

    def _viewer(self, name: str, pictures: _Pictures) -> dict[str, Any]:
        """The pictures of a case: names of the views, and one row per image; or the reason why there are none."""
        case, methods = self.cases[name], list(self.cells[name])
        if case["gap"]:
            return {"gap": case["gap"]}
        if not methods:
            return {"gap": "no artifact shows a method on this case"}
        folder = Path(next(sidecar["folder"] for _, sidecar in self.sidecars if name in sidecar["cases"]))
        try:
            found = views(folder, name, case, methods, PICTURES)
        except UserError as error:
            return {"gap": str(error)}
        return {
            "gap": "",
            "views": self._view_names(found[0]),
            "rows": [self._row(name, view, pictures) for view in found],
        }

    def _view_names(self, view: Views) -> list[str]:
        observed = [] if view.observed is None else ["observed"]
        return ["original", *observed, *(self.labels[method] for method in view.methods)]

    def _row(self, case: str, view: Views, pictures: _Pictures) -> dict[str, Any]:
        plain = [view.original] if view.observed is None else [view.original, view.observed]
        shots = [{"picture": pictures.add(image), "value": None, "status": "ok"} for image in plain]
        for method, image in view.methods.items():
            cell = self.cells[case][method]
            value = cell["values"].get("psnr", {}).get(view.image)
            shots.append({"picture": pictures.add(image), "value": value, "status": cell["status"][view.image]})
        height, width = view.original.shape[1:]
        return {"image": view.image, "shots": shots, "height": height, "width": width}


def _alone(case: str, method: str, metric: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an average that no table compares with the paper."""
    ends = cell["intervals"][metric]
    interval = (float(ends[0]), float(ends[1])) if ends else None
    return Entry(case, method, metric, float(cell["averages"][metric]), interval, None, "", "").as_dict()


def _artifact(path: Path, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    table = _table(sidecar["table"]) if "table" in sidecar else None
    figure = _figure(path, sidecar["figure"]) if "figure" in sidecar else None
    shown = {"table": table, "figure": figure, "claims": sidecar.get("claims"), "listing": sidecar.get("listing")}
    return {**sidecar["settings"], **sidecar, **shown, "path": str(path.with_suffix(""))}


def _figure(path: Path, figure: Mapping[str, Any]) -> dict[str, Any]:
    """The picture itself, shown at half its size in pixels so that it is sharp on any screen."""
    uri, width, height = figure_uri(path.with_suffix(".png"))
    return {**figure, "uri": uri, "width": width // 2, "height": height // 2}


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    """The entries by case and method, and the footnotes."""
    cells: dict[str, dict[str, list[Any]]] = {}
    for entry in table["entries"]:
        cells.setdefault(entry["case"], {}).setdefault(entry["method"], []).append(entry)
    return {**table, "cells": cells, "notes": {text: number for number, text in enumerate(table["notes"], 1)}}


def _distinct(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def _merged(orders: Iterable[Sequence[str]]) -> list[str]:
    """Every item of the lists once, in an order that agrees with all of them as far as possible.

    A new item follows its predecessor in its own list. Without one, it precedes the first known item, or is last.
    """
    merged: list[str] = []
    for order in orders:
        place = next((merged.index(item) for item in order if item in merged), len(merged))
        for item in order:
            if item not in merged:
                merged.insert(place, item)
            place = merged.index(item) + 1
    return merged
