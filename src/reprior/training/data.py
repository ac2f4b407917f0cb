"""The images that a network is trained on, and those that its candidates are compared on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from reprior.datasets import load_dataset
from reprior.datasets.base import Dataset
from reprior.loading import load
from reprior.training.recipe import Recipe

_CHUNK = 500


@dataclass(frozen=True)
class Material:
    """Images in memory, as uint8: a quarter of the size of float32."""

    training: np.ndarray
    """[M, C, H, W]"""
    held_out: np.ndarray
    """[N, C, H, W], none of them in `training`."""
    origin: Mapping[str, Any]
    """Where the held-out images come from: data set, first, images."""


def read_material(spec: Mapping[str, Any], recipe: Recipe, raw: Path) -> Material:
    """Read a data set from its first image on.

    The held-out images are the first of its validation partition. If it has none, they are those after the training
    images. Test images are not used.
    """
    source, apart = load_dataset(spec, raw), _validation(spec)
    if apart is not None:
        count, first, judging = recipe.images or source.size, 0, load_dataset(apart, raw)
    else:
        count = first = recipe.images or source.size - recipe.held_out
        judging = source
    origin = {"dataset": dict(apart or spec), "first": first, "images": recipe.held_out}
    return Material(_pixels(source, 0, count), _pixels(judging, first, recipe.held_out), origin)


def _validation(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Spec of the same data set's validation partition; None if it does not exist."""
    partitions = get_type_hints(load("dataset", spec["name"]).__init__).get("partition")
    return {**spec, "partition": "validation"} if "validation" in get_args(partitions) else None


def _pixels(source: Dataset, first: int, count: int) -> np.ndarray:
    """The `count` images from position `first`: uint8 [count, C, H, W]."""
    pixels = np.empty((count, *source.image_shape), np.uint8)
    for start in range(0, count, _CHUNK):
        ids = source.ids(first + start, min(_CHUNK, count - start))
        pixels[start : start + len(ids)] = np.rint(source.load(ids).clip(0, 1) * 255)
    return pixels
