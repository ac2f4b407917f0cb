"""Data sets: names -> images. One file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.plugins import load, plugin

if TYPE_CHECKING:
    from reprior.datasets.base import Dataset


def load_dataset(spec: Mapping[str, Any], raw: Path) -> Dataset:
    """The data set of a spec such as `{name: celeba, size: 64}`; `raw` is the folder of downloads."""
    settings = dict(spec)
    name = settings.pop("name")
    places = {"raw": raw}
    dataset: Dataset = load("dataset", name)(*(places[need] for need in plugin("dataset", name).needs), **settings)
    return dataset
