"""The report: one HTML file with every table, figure and picture, and with how each cell was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reprior import __version__
from reprior.errors import UserError
from reprior.machine.files import read_json, write_text
from reprior.render.encode import figure_uri
from reprior.render.entries import LINES, NOTHING, Entry
from reprior.render.gallery import PICTURES, Gallery, Pictures, gallery
from reprior.render.page import anchor, interest, template
from reprior.render.summary import summary, total
from reprior.render.verdict import ABOUT_VERDICT, counted


def build(sidecars: Sequence[Path], out: Path, command: str) -> None:
    """Write one self-contained page from the sidecars of all artifacts, in the order given.

    `command` is the command that made the report. Pictures are read from the results that the sidecars name.
    """
    read = [(path, read_json(path)) for path in sidecars]
    if not read:
        raise UserError("the report has nothing to show: no study of config.yaml has an artifact")
    pictures = Pictures()
    studies = [
        _Study(name, [pair for pair in read if pair[1]["study"] == name], pictures).view()
        for name in _distinct(sidecar["study"] for _, sidecar in read)
    ]
    page = template().render(
        studies=studies,
        total=total([study["summary"] for study in studies]),
        opened={id_: case for study in studies for id_, case in study["opened"].items()},
        pictures=pictures.uris,
        scale=read[0][1]["scale_title"],
        notes=_notes([sidecar for _, sidecar in read if sidecar["note"]]),
        comparable=all(sidecar["comparable"] for _, sidecar in read),
        command=command,
        version=__version__,
    )
    write_text(out, page)


def _notes(sidecars: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scale's notes on its studies: what all share, then what differs with the study's name."""
    notes = {sidecar["study"]: str(sidecar["note"]).split("; ") for sidecar in sidecars}
    shared = [part for part in next(iter(notes.values()), []) if all(part in others for others in notes.values())]
    own = {study: [part for part in parts if part not in shared] for study, parts in notes.items()}
    return [*shared, *(f"{study}: {', '.join(parts)}" for study, parts in own.items() if parts)]


@dataclass(frozen=True)
class _Study:
    """What the sidecars say of one study."""

    name: str
    sidecars: Sequence[tuple[Path, Mapping[str, Any]]]
    pictures: Pictures

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

    @cached_property
    def galleries(self) -> dict[str, Gallery]:
        """{case: its pictures, as many as an artifact shows}"""
        shown = [(sidecar.get("figure", {}).get("pictures", 0), sidecar["cases"]) for _, sidecar in self.sidecars]
        counts = {case: max([PICTURES, *(count for count, cases in shown if case in cases)]) for case in self.cases}
        folders = {name: Path(sidecar["folder"]) for _, sidecar in self.sidecars for name in sidecar["cases"]}
        return {
            name: gallery(folders[name], name, case, self.cells[name], self.labels, self.pictures, counts[name])
            for name, case in self.cases.items()
        }

    def view(self) -> dict[str, Any]:
        """The study as the template needs it."""
        artifacts = [self._artifact(path, sidecar) for path, sidecar in self.sidecars]
        claims = [claim for each in artifacts if each["claims"] for claim in each["claims"]["entries"]]
        filled = {name: case for name, case in self.galleries.items() if case.rows}
        return {
            "name": self.name,
            "title": self.sidecars[0][1]["study_title"],
            "labels": self.labels,
            "methods": self.methods,
            "artifacts": sorted(artifacts, key=lambda each: bool(each["claims"])),  # claims after what they rest on
            "cases": {name: self._case(name) for name in self.cases},
            "cells": {
                case: {method: {**cell, **self._numbers(case, method)} for method, cell in methods.items()}
                for case, methods in self.cells.items()
            },
            "opened": {
                anchor(self.name, name): case.opened(self.cases[name]["label"]) for name, case in filled.items()
            },
            "strip": max(filled, key=lambda name: filled[name].interest, default=""),
            "summary": summary(self.methods, self.cases, self.cells, claims),
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

    def _case(self, name: str) -> dict[str, Any]:
        """A case with its pictures, and the generator that its methods actually used."""
        records = (record for cell in self.cells[name].values() for record in cell["records"])
        generator = next((record["generator"] for record in records if record["generator"]), None)
        return {**self.cases[name], "generator": generator, "gallery": self.galleries[name]}

    def _artifact(self, path: Path, sidecar: Mapping[str, Any]) -> dict[str, Any]:
        table = _table(sidecar["table"]) if "table" in sidecar else None
        figure = self._figure(path, sidecar) if "figure" in sidecar else None
        shown = {"table": table, "figure": figure, "claims": sidecar.get("claims"), "listing": sidecar.get("listing")}
        return {**sidecar["settings"], **sidecar, **shown, "path": str(path.with_suffix(""))}

    def _figure(self, path: Path, sidecar: Mapping[str, Any]) -> dict[str, Any]:
        """The figure's own file; or, of pictures that the page holds anyway, these."""
        figure = sidecar["figure"]
        shown = {name: self.galleries[name] for name in sidecar["settings"]["cases"]}
        if "columns" in figure and all(case.rows or self.cases[name]["gap"] for name, case in shown.items()):
            names = [self.labels.get(column, column) for column in figure["columns"]]
            cells = {name: case.cells(figure["columns"], figure["pictures"]) for name, case in shown.items()}
            return {**figure, "names": names, "cells": cells}
        uri, width, height = figure_uri(path.with_suffix(".png"))
        return {**figure, "uri": uri, "width": width, "height": height}


def _alone(case: str, method: str, metric: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an average that no table compares with the paper."""
    ends = cell["intervals"][metric]
    interval = (float(ends[0]), float(ends[1])) if ends else None
    return Entry(case, method, metric, float(cell["averages"][metric]), interval, None, "", "").as_dict()


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
