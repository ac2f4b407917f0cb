"""Reconstructions -> numbers."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reprior.machine.files import load_arrays, read_json, written_atomically
from reprior.metrics.evaluation import evaluate as measured


def evaluate(estimate: Path, images: Path, metrics: Sequence[Mapping[str, Any]], raw: Path, out: Path) -> None:
    """Compare one batch of reconstructions with the truth; what its job tells of it is a number of each image, too."""
    found, meta = load_arrays(estimate)
    truth, _ = load_arrays(images)
    job = read_json(estimate.with_suffix(".json"))
    ids = meta["ids"]
    columns = measured(found["images"], truth["images"], metrics, raw)
    values = {name: column.tolist() for name, column in columns.items()}
    values |= job["numbers"]
    values["seconds"] = [job["seconds_per_image"]] * len(ids)
    values["memory_mib"] = [job["peak_memory_mib"]] * len(ids)
    origin = (meta["study"], meta["case"], meta["method"])
    with written_atomically(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("study", "case", "method", "image", "metric", "value"))
        for row, image in enumerate(ids):
            writer.writerows((*origin, image, name, f"{column[row]:.10g}") for name, column in values.items())
