"""Data set -> images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.datasets import load_dataset
from reprior.machine.files import save_arrays

if TYPE_CHECKING:
    import numpy as np

    from reprior.datasets.base import Dataset


def prepare(selection: Mapping[str, Any], raw: Path, out: Path) -> None:
    """Make one batch of images."""
    dataset = load_dataset(selection["dataset"], raw)
    ids = selection.get("ids") or _chosen(dataset, selection)
    images = _shifted(dataset.load(ids), selection["shift"])
    steps = [*dataset.steps, *([f"move {selection['shift']} rows down"] if selection["shift"] else [])]
    save_arrays(out, {"images": images}, {"ids": list(ids), "steps": steps, "selection": dict(selection)})


def _chosen(dataset: Dataset, selection: Mapping[str, Any]) -> list[str]:
    """Ids by position in the data set's own order or, with a seed, in a random one."""
    first, count = selection["first"], selection["count"]
    return dataset.chosen(selection["seed"], first, count) if "seed" in selection else dataset.ids(first, count)


def _shifted(images: np.ndarray, rows: int) -> np.ndarray:
    """Images [N, 3, H, W] moved down by `rows` (up where negative), edge rows repeated."""
    import numpy as np

    height = images.shape[2]
    source = np.clip(np.arange(height) - rows, 0, height - 1)
    return images[:, :, source]
