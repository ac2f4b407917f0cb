"""Data sets: names -> images. One file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.loading import call

if TYPE_CHECKING:
    from reprior.datasets.base import Dataset


def load_dataset(spec: Mapping[str, Any], raw: Path) -> Dataset:
    """The data set of a spec such as `{name: celeba, size: 64}`; `raw` is the folder of downloads."""
    dataset: Dataset = call("dataset", spec, {"raw": raw})
    return dataset
