"""What a method is given and what it gives back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from reprior.operators.base import Operator
from reprior.optimise.watch import Watch
from reprior.seeds import rng_for


@dataclass(frozen=True)
class Problem:
    """N independent inverse problems that share one operator: find x from y = A x + e."""

    y: Tensor
    """[N, *measurement_shape]"""
    operator: Operator
    study: str
    case: str
    ids: tuple[str, ...]
    """The N image ids: seeds hang on them."""
    watch: Watch = field(default_factory=Watch)
    """Progress and checkpoints of the optimisation."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> Problem:
        """A part of the problems, as `problem[8:16]`."""
        first, last, _ = rows.indices(len(self))
        return replace(self, y=self.y[rows], ids=self.ids[rows], watch=self.watch.within(f"{first}-{last}"))

    def draw(self, role: str, sample: Callable[[torch.Generator], Tensor], restart: int = 0) -> Tensor:
        """One draw an image, each from its own seed: [N, ...], on the device and in the dtype of y."""
        draws = [sample(rng_for(self.study, self.case, image, role, restart)) for image in self.ids]
        return torch.stack(draws).to(self.y)

    def residual(self, x: Tensor) -> Tensor:
        """||y - A x||^2 of each row: [N, C, H, W] -> [N]."""
        return (self.y - self.operator.A(x)).square().flatten(1).sum(1)

    def inverted(self, inverse: Callable[[Tensor], Tensor], centred: bool) -> Tensor:
        """The images that a linear `inverse` makes of y; `centred`: as if images lay in [-1, 1], as IAGAN's do.

        What an inverse fills in where y says nothing is then mid-grey and not black.
        """
        if not centred:
            return inverse(self.y)
        ones = self.operator.A(self.y.new_ones(1, *self.operator.image_shape))
        return (inverse(2 * self.y - ones) + 1) / 2


@dataclass(frozen=True)
class Reconstruction:
    """What a method found, one row an image."""

    images: Tensor
    """[N, C, H, W] on the [0, 1] scale, not clipped: metrics and pictures clip."""
    latents: Tensor | None = None
    """[N, *latent_shape], where the method has latents: a later method may start from them."""
    trace: Tensor | None = None
    """[N, steps] loss at each step, where the method iterates."""
    status: tuple[str, ...] = ()
    """`ok`, `diverged` (a step was not finite; a finite image is kept, if any was) or `stopped`, one an image."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """[N, C, H, W] what the images are the sum of, where a method has such parts: pictures show them."""
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    """[N] what else is worth knowing of each image: further metrics, described in `metrics/beside.py`."""
    state: Mapping[str, Tensor] = field(default_factory=dict)
    """[N, ...] `variables.z`, `exp_avg.z`, `exp_avg_sq.z`: where a method stood after `updates` of its steps.

    Given to a method that begins from there, `start: csgm@500` in a study."""
    updates: int = 0

    def __getitem__(self, rows: slice) -> Reconstruction:
        """A part of the images, as `reconstruction[8:16]`."""
        latents, trace = (None if value is None else value[rows] for value in (self.latents, self.trace))
        mappings = ({key: v[rows] for key, v in each.items()} for each in (self.parts, self.numbers, self.state))
        parts, numbers, state = mappings
        return Reconstruction(
            self.images[rows], latents, trace, self.status[rows], parts, numbers, state, updates=self.updates
        )


def solve(
    method: Callable[..., Reconstruction], problem: Problem, *given: Any, chunk: int | None = None, **settings: Any
) -> Reconstruction:
    """`method(problem, *given, **settings)`, at most `chunk` images at a time, and fewer if they do not fit the GPU.

    `given` is what the method needs besides the problem: a generator, another method's result. The outcome does not
    depend on `chunk`.
    """
    size = chunk or len(problem)
    parts: list[Reconstruction] = []
    done = 0
    while done < len(problem):
        rows = slice(done, min(done + size, len(problem)))
        mine = (value[rows] if isinstance(value, Reconstruction) else value for value in given)
        try:
            parts.append(method(problem[rows], *mine, **settings))
            done = rows.stop
        except torch.OutOfMemoryError:
            if rows.stop - rows.start == 1:
                raise
            size = (rows.stop - rows.start + 1) // 2
            print(f"reprior: out of memory; going on with {size} images at a time", file=sys.stderr)
    return _joined(parts)


def _joined(parts: Sequence[Reconstruction]) -> Reconstruction:
    def column(values: Sequence[Tensor | None]) -> Tensor | None:
        tensors = [value for value in values if value is not None]
        return torch.cat(tensors) if tensors else None

    return Reconstruction(
        torch.cat([part.images for part in parts]),
        column([part.latents for part in parts]),
        column([part.trace for part in parts]),
        tuple(status for part in parts for status in part.status),
        parts={name: torch.cat([part.parts[name] for part in parts]) for name in parts[0].parts},
        numbers={name: torch.cat([part.numbers[name] for part in parts]) for name in parts[0].numbers},
    )
