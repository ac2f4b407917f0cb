"""The folder of outputs: pictures, sheet, numbers, record and page."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reprior.errors import UserError
from reprior.machine.facts import versions
from reprior.machine.files import read_json, write_json, written_atomically
from reprior.metrics import lpips
from reprior.metrics.evaluation import evaluate
from reprior.photos.cells import KEPT, Cell, Kept, kept_path
from reprior.photos.page import TASKS, write_page, write_sheet
from reprior.photos.tasks import Prepared
from reprior.render.pictures import pixels

RECORD, PAGE, SHEET, CSV, JSON = "record.json", "index.html", "sheet.png", "numbers.csv", "numbers.json"
TRUTH, OBSERVATION, MASK = "truth.png", "observation.png", "mask.png"
NETWORK_SIDE = 64
"""Smallest images that LPIPS is for."""


@dataclass
class Outputs:
    """What the command writes. Every file is whole or absent."""

    folder: Path
    record: dict[str, Any] = field(default_factory=dict)
    """What was asked for and done, and how each picture was made."""
    made: dict[str, Kept] = field(default_factory=dict)
    """The finished cells of this command."""
    prepared: Prepared | None = None

    def check(self) -> None:
        """UserError if the folder cannot be used, or holds what this command did not write."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder}: is a file; give a folder with --out")
        there = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        if there and not {RECORD, KEPT} & set(there):
            raise UserError(
                f"{self.folder}: holds other files, such as {sorted(there)[0]}; give a new folder with --out"
            )

    def begin(self, origin: Mapping[str, Any], about: Mapping[str, Any], prepared: Prepared) -> None:
        """Write truth and observation. Results of another photo or task in this folder are removed."""
        before = self._earlier()
        if before.get("origin") != dict(origin):
            self._remove(before)
            before = {}
        self.prepared = prepared
        self.record = {
            **about,
            "origin": dict(origin),
            "methods": before.get("methods", {}),
            "versions": versions(),
        }
        mask = getattr(prepared.operator, "mask", None)
        shown = prepared.operator.picture(prepared.y)
        views = {TRUTH: prepared.truth, OBSERVATION: shown, MASK: None if mask is None else mask[None, None]}
        for name, view in views.items():
            if view is not None:
                write_png(self.folder / name, view[0].cpu().float().numpy())
        self._write_record()

    def add(self, cell: Cell, kept: Kept) -> None:
        """Write a method's picture."""
        write_png(self.folder / f"{cell.label}.png", kept.image[0].cpu().numpy())
        self.made[cell.label] = kept
        self.record["methods"][cell.label] = {
            "runs": [dict(spec) for spec in cell.settings],
            "seconds": kept.seconds,
            "status": kept.status,
        }
        self._write_record()

    def finish(self, data: Path) -> Path:
        """Write numbers, sheet and page of the methods of this command. Returns the page."""
        rows = self._numbers(data / "raw")
        write_json(self.folder / JSON, [{key: _in_json(value) for key, value in row.items()} for row in rows])
        with (
            written_atomically(self.folder / CSV) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: _written(value) for key, value in row.items()} for row in rows)
        pictures = [(name, self.folder / name) for name in (TRUTH, OBSERVATION) if (self.folder / name).exists()]
        shown = [(path.stem, path) for _, path in pictures] + [
            (label, self.folder / f"{label}.png") for label in self.made
        ]
        title = f"{self.record['photo']}: {TASKS[self.record['task']['name']]}"
        write_sheet(self.folder / SHEET, title, shown, rows)
        write_page(self.folder / PAGE, shown, rows, self.record)
        return self.folder / PAGE

    def discard(self) -> None:
        """Remove what `begin` wrote, if no method has a result."""
        if not self.record["methods"]:
            self._remove(self.record)
            (self.folder / RECORD).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _numbers(self, raw: Path) -> list[dict[str, Any]]:
        """One row per method: agreement with the observation, and with the truth if there is one."""
        assert self.prepared is not None
        rows = []
        for label, kept in self.made.items():
            row: dict[str, Any] = {"method": label, "residual": residual(self.prepared, kept)}
            if self.prepared.truth is not None:
                estimate, truth = kept.image.cpu().numpy(), self.prepared.truth.numpy()
                found = evaluate(estimate, truth, _metrics(truth.shape[-1], raw), raw)
                row |= {name: float(values[0]) for name, values in found.items()}
            rows.append(row | {"seconds": kept.seconds, "status": kept.status})
        return rows

    def _earlier(self) -> dict[str, Any]:
        try:
            found = read_json(self.folder / RECORD)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remove(self, record: Mapping[str, Any]) -> None:
        """Remove what an earlier command wrote, by the names that it gives to its files."""
        labels = [str(label) for label in record.get("methods", ())]
        names = [TRUTH, OBSERVATION, MASK, SHEET, CSV, JSON, PAGE, *(f"{label}.png" for label in labels)]
        for path in (*(self.folder / name for name in names), *(kept_path(self.folder, label) for label in labels)):
            path.unlink(missing_ok=True)

    def _write_record(self) -> None:
        write_json(self.folder / RECORD, self.record)


def residual(prepared: Prepared, kept: Kept) -> float:
    """||A x - y|| / ||y|| of the picture x, clipped to [0, 1]. NaN if y is zero."""
    image = kept.image.clamp(0, 1)
    y = prepared.y.to(image)
    norm = y.norm().item()
    return (prepared.operator.A(image) - y).norm().item() / norm if norm else math.nan


def _metrics(side: int, raw: Path) -> list[dict[str, Any]]:
    """PSNR and SSIM; LPIPS if the file of one of its networks is there."""
    there = [net for net, (file, *_) in lpips.SOURCES["net"].items() if (raw / file).is_file()]
    perceptual: Sequence[dict[str, Any]] = [{"name": "lpips", "net": net} for net in there[:1]]
    return [{"name": "psnr"}, {"name": "ssim"}, *(perceptual if side >= NETWORK_SIDE else ())]


def _in_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: these become text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _written(value: Any) -> Any:
    return f"{value:.10g}" if isinstance(value, float) else value


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a picture [C, H, W] on the [0, 1] scale, clipped."""
    from PIL import Image

    with written_atomically(path) as temporary:
        Image.fromarray(pixels(image)).save(temporary, "PNG")
