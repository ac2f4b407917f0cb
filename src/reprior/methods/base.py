"""What a method receives and what it returns."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.losses import DEFAULT
from reprior.losses.base import WeightedSum
from reprior.machine.precision import computing_in
from reprior.operators.base import Operator, in_float32
from reprior.optimise.step_noise import StepNoise
from reprior.optimise.watch import Watch
from reprior.seeds import seed_for
from reprior.types import Precision


@dataclass(frozen=True)
class Problem:
    """N independent inverse problems that share one operator: find x from y = A x + e."""

    y: Tensor
    """[N, *measurement_shape]"""
    operator: Operator
    study: str
    case: str
    ids: tuple[str, ...]
    """The N image ids. Seeds depend on them."""
    watch: Watch = field(default_factory=Watch)
    """Progress and checkpoints of the optimisation."""
    losses: Sequence[Mapping[str, Any]] = DEFAULT
    """The terms of `loss`, with their weights."""
    raw: Path = Path("data/raw")
    """The folder of downloads, for losses that read networks."""
    noise: float = 0.0
    """Standard deviation of the noise in y, on the [0, 1] scale, before y was clipped."""
    sna: bool = False
    """Stochastic noise addition (ILO): whether a loss sees A x with noise of the same kind as y's, new in each step."""
    clip: bool = False
    """Whether y was clipped to [0, 1] after its noise was added."""
    precision: Precision = "float32"
    """In which precision networks compute. Variables, Adam's moments, losses and operators are float32."""
    restarts: tuple[int, ...] = ()
    """The restart number of each row. Empty: 0 for all rows."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> Problem:
        """Some of the problems: `problem[8:16]`."""
        first, last, _ = rows.indices(len(self))
        watch = self.watch.within(f"{first}-{last}")
        return replace(self, y=self.y[rows], ids=self.ids[rows], restarts=self.restarts[rows], watch=watch)

    def repeated(self, restarts: int) -> Problem:
        """Each problem `restarts` times. The restarts of one image are adjacent rows."""
        y, ids = self.y.repeat_interleave(restarts, 0), tuple(image for image in self.ids for _ in range(restarts))
        return replace(self, y=y, ids=ids, restarts=tuple(range(restarts)) * len(self))

    def draw(self, role: str, sample: Callable[[torch.Generator], Tensor]) -> Tensor:
        """One draw per row, each from its own seed: [N, ...], on the device and in the dtype of y."""
        seeds = self._seeds(role)
        return torch.stack([sample(torch.Generator().manual_seed(seed)) for seed in seeds]).to(self.y)

    def step_noise(self, role: str, shape: Sequence[int]) -> StepNoise:
        """N(0, 1) that is new in each step, as a function of the step: [N, *shape], on the device of y, in float32."""
        return StepNoise(self._seeds(role), shape, self.y.device)

    def _seeds(self, role: str) -> list[int]:
        """A seed per row."""
        rows = zip(self.ids, self.restarts or (0,) * len(self), strict=True)
        return [seed_for(self.study, self.case, image, role, restart) for image, restart in rows]

    def draw_inputs(self, generator: Generator) -> dict[str, Tensor]:
        """A draw of every input of a generator: {z} and any noise maps, [N, ...] each."""
        maps = {name: partial(_normal, shape) for name, shape in generator.extra_inputs().items()}
        draws = {name: self.draw(name, sample) for name, sample in maps.items()}
        return {"z": self.draw("start", generator.draw_latent), **draws}

    @cached_property
    def _loss(self) -> WeightedSum:
        return WeightedSum(self.losses, self.y, self.operator, self.raw)

    @property
    def loss_is_used(self) -> bool:
        """False if the study chose a loss, or noise in each step, and the method did not use it."""
        return (self.losses is DEFAULT and not self.sna) or "_loss" in vars(self)

    def loss(self, x: Tensor, step: Tensor) -> Tensor:
        """The loss of each row in this step: [N, C, H, W] -> [N]. It is ||y - A x||^2 unless the study chooses another.

        Only the noise of `sna` depends on the step, so a method with several rounds counts its steps through them.
        """
        with computing_in("float32", x.device):
            x = x.to(self.y.dtype)
            return self._loss(x, self._measured(x, step))

    def _measured(self, x: Tensor, step: Tensor) -> Tensor:
        """A x: [N, ...]. With `sna` it is measured as y was, with noise of its own."""
        Ax = self.operator.A(x)
        if not self.sna:
            return Ax
        noisy = Ax + self.noise * self._sna_noise(step).to(Ax.dtype)
        return noisy.clamp(0, 1) if self.clip else noisy

    @cached_property
    def _sna_noise(self) -> StepNoise:
        return self.step_noise("sna", self.y.shape[1:])

    def residual(self, x: Tensor) -> Tensor:
        """||y - A x||^2 of each row: [N, C, H, W] -> [N]."""
        return (self.y - self.operator.A(x)).square().flatten(1).sum(1)

    def inverted(self, inverse: Callable[[Tensor], Tensor], centred: bool) -> Tensor:
        """Apply a linear `inverse` to y. With `centred`, do it as if images lay in [-1, 1], as IAGAN's do.

        What y does not determine is then mid-grey instead of black.
        """
        if not centred:
            return inverse(self.y)
        ones = self.operator.A(self.y.new_ones(1, *self.operator.image_shape))
        return (inverse(2 * self.y - ones) + 1) / 2


@dataclass(frozen=True)
class Reconstruction:
    """The result of a method, one row per image."""

    images: Tensor
    """[N, C, H, W] on the [0, 1] scale, not clipped: metrics and pictures clip."""
    latents: Tensor | None = None
    """[N, *latent_shape] if the method has latents. Another method may start from them."""
    trace: Tensor | None = None
    """[N, steps] loss at each step, if the method iterates."""
    status: tuple[str, ...] = ()
    """Per image: `ok`, `diverged` (a step was not finite; a finite image is kept if there was one), or another word."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """[N, C, H, W] each: the parts that add up to the images, if the method has any. Figures show them."""
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    """[N] each: further numbers per image, described in `metrics/beside.py`."""
    state: Mapping[str, Tensor] = field(default_factory=dict)
    """[N, ...] each: the method's state after `updates` steps: `variables.z`, `exp_avg.z`, `exp_avg_sq.z`.

    For a method that starts from that step: `start: csgm@500` in a study."""
    updates: int = 0
    features: Mapping[str, Tensor] = field(default_factory=dict)
    """[N, ...] each: features of a generator's layer that give the images: `16.h` and `16.z` of the layer `16`."""
    loss: Tensor | None = None
    """[N] loss of the images, if the method iterates. The restart with the lowest loss is kept."""

    def __getitem__(self, rows: slice | Tensor) -> Reconstruction:
        """Some of the images: `reconstruction[8:16]`, or a tensor of row numbers."""
        columns = (self.latents, self.trace, self.loss)
        latents, trace, loss = (None if value is None else value[rows] for value in columns)
        named = (self.parts, self.numbers, self.state, self.features)
        parts, numbers, state, features = ({key: v[rows] for key, v in each.items()} for each in named)
        numbered = rows.tolist() if isinstance(rows, Tensor) else range(len(self.status))[rows]
        status = tuple(self.status[row] for row in numbered) if self.status else ()
        return Reconstruction(
            self.images[rows], latents, trace, status, parts, numbers, state, self.updates, features, loss
        )


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng)


def solve(
    method: Callable[..., Reconstruction],
    problem: Problem,
    *given: Any,
    chunk: int | None = None,
    restarts: int = 1,
    **settings: Any,
) -> Reconstruction:
    """Run `method(problem, *given, **settings)` on `chunk` images at a time, or fewer if they do not fit the GPU.

    `given` is what the method needs besides the problem: a generator, another method's result. The result does not
    depend on `chunk`. Of several `restarts`, the one with the lowest loss is kept for each image.
    """
    size = chunk or len(problem)
    parts: list[Reconstruction] = []
    done = 0
    while done < len(problem):
        rows = slice(done, min(done + size, len(problem)))
        mine = (value[rows] if isinstance(value, Reconstruction) else value for value in given)
        try:
            parts.append(_best_of(restarts, method, problem[rows], *mine, **settings))
            done = rows.stop
            continue
        except torch.OutOfMemoryError:
            if rows.stop - rows.start == 1:
                raise
        # Only here, where the error is gone, nothing refers to the tensors of the failed try.
        gc.collect()
        torch.cuda.empty_cache()
        size = (rows.stop - rows.start + 1) // 2
        print(f"reprior: out of memory; going on with {size} images at a time", file=sys.stderr)
    return _joined(parts)


def _best_of(
    restarts: int, method: Callable[..., Reconstruction], problem: Problem, *given: Any, **settings: Any
) -> Reconstruction:
    """Run the restarts as extra rows of one batch, each with its own draws, and keep the best one of each image."""
    problem = problem.repeated(restarts) if restarts > 1 else problem
    if problem.precision != "float32":
        problem = replace(problem, operator=in_float32(problem.operator))
    with computing_in(problem.precision, problem.y.device):
        found = method(problem, *given, **settings)
    if not problem.loss_is_used:
        asked = "loss" if problem.losses is not DEFAULT else "sna"
        raise UserError(f"this method has a loss of its own; remove `{asked}` from its settings")
    found = replace(found, images=found.images.to(problem.y.dtype))
    if restarts == 1:
        return found
    if found.loss is None:
        raise UserError("`restarts` need a method that reports its loss; remove them")
    firsts = torch.arange(0, len(found.loss), restarts, device=found.loss.device)
    return found[found.loss.view(-1, restarts).argmin(1) + firsts]


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
        features={name: torch.cat([part.features[name] for part in parts]) for name in parts[0].features},
        loss=column([part.loss for part in parts]),
    )
