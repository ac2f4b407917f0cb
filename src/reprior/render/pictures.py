"""The images of a case, read from its results: original, observed and each method's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.errors import UserError
from reprior.machine.files import load_arrays

if TYPE_CHECKING:
    import numpy as np


PART = "part."
"""The prefix of tensors that are parts of a method's pictures."""


@dataclass(frozen=True)
class Views:
    """All views of one image, each [C, H, W] on the [0, 1] scale, not clipped."""

    image: str
    original: np.ndarray
    observed: np.ndarray | None
    """None if the observation is not a picture, such as a Gaussian measurement."""
    methods: Mapping[str, np.ndarray]
    parts: Mapping[str, Mapping[str, np.ndarray]]
    """{method: {part: what it adds to the method's picture}}; {} for a method without parts."""


def views(folder: Path, name: str, case: Mapping[str, Any], methods: Sequence[str], count: int) -> list[Views]:
    """The first `count` images of the case `name` in the study's `folder`."""
    originals = [Path(path) for path in case["images"]]
    found: list[Views] = []
    for batch in case["batches"]:
        if len(found) < count:
            found += _batch(folder / name, f"{batch}.safetensors", originals, methods)
    return found[:count]


def _batch(folder: Path, file: str, originals: Sequence[Path], methods: Sequence[str]) -> list[Views]:
    observation, meta = load_arrays(folder / "observation" / file)
    truth = _originals(originals, meta["ids"])
    observed = observation.get("picture")
    made = {method: load_arrays(folder / method / file)[0] for method in methods}
    return [
        Views(
            image,
            truth[image],
            None if observed is None else observed[row],
            {method: arrays["images"][row] for method, arrays in made.items()},
            {method: _parts(arrays, row) for method, arrays in made.items()},
        )
        for row, image in enumerate(meta["ids"])
    ]


def _parts(arrays: Mapping[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    return {name.removeprefix(PART): array[row] for name, array in arrays.items() if name.startswith(PART)}


def _originals(paths: Sequence[Path], ids: Sequence[str]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in paths:
        if not set(ids) <= set(found):
            arrays, meta = load_arrays(path)
            found |= zip(meta["ids"], arrays["images"], strict=True)
    missing = sorted(set(ids) - set(found))
    if missing:
        raise UserError(
            f"the images {', '.join(missing)} are in none of {', '.join(map(str, paths))}; prepare them again"
        )
    return found


def pixels(image: np.ndarray) -> np.ndarray:
    """[3, H, W], [1, H, W] or [H, W] on the [0, 1] scale -> bytes [H, W, 3] or [H, W]; clipped, NaN shown as black."""
    import numpy as np

    clipped = np.nan_to_num(np.clip(image, 0, 1), nan=0.0)
    shown = np.round(clipped * 255).astype(np.uint8)
    return shown.transpose(1, 2, 0) if len(shown) == 3 and shown.ndim == 3 else shown.reshape(shown.shape[-2:])
