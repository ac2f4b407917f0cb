"""The one optimisation loop: solves N independent problems at once, each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim.adam import adam  # the class `Adam` imports all of torch's compiler: seconds per job

from reprior.optimise.graphs import Replayed
from reprior.optimise.watch import Watch

__all__ = ["Keep", "Moments", "Objective", "Optimum", "Schedule", "Variables", "minimise"]

Variables = dict[str, Tensor]
"""What is optimised: each tensor has the N problems along its first axis."""
Objective = Callable[[Variables, Tensor], tuple[Tensor, Mapping[str, Tensor]]]
"""(variables, step) -> loss [N], and the tensors [N, ...] to keep of this iterate. The step is an integer tensor []."""
Schedule = Callable[[int, int], float]
"""(step, steps) -> factor on the learning rates in this step."""
Keep = Literal["best", "last"]
"""Which iterate is the result: the one of lowest loss (IAGAN's text) or the last one (its released code)."""
_OF_VARIABLES = ("variables", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Moments:
    """Adam's running averages of a variable, and the number of updates in them."""

    exp_avg: Tensor
    exp_avg_sq: Tensor
    updates: int


@dataclass(frozen=True)
class Optimum:
    """The result of `minimise`, one row per problem."""

    kept: dict[str, Tensor]
    """What the objective returned at the kept iterate: [N, ...]."""
    loss: Tensor
    """[N] loss of the kept iterate; infinite if no iterate was finite."""
    step: Tensor
    """[N] step of the kept iterate."""
    trace: Tensor
    """[N, steps] loss at each step."""
    status: tuple[str, ...]
    """`ok`, or `diverged` if some loss was not finite."""


def minimise(
    objective: Objective,
    start: Mapping[str, Tensor],
    *,
    steps: int,
    lr: float | Mapping[str, float],
    keep: Keep = "best",
    schedule: Schedule | None = None,
    project: Callable[[Variables], None] | None = None,
    carried: Mapping[str, Moments] | None = None,
    watch: Watch | None = None,
    name: str = "minimise",
) -> Optimum:
    """Minimise N losses at once with Adam from `start`: `steps` evaluations, with one update between each.

    Rows do not affect each other: the sum of the losses is differentiated, and Adam is elementwise. Nothing here waits
    for the device, and each step works on the same tensors in place, so CUDA replays it as a graph (`graphs.py`).
    - `objective`: its random draws must depend on `step` only, so that a resumed run ends like an undisturbed one. It
      calls its image "x". It must do the same operations in each step.
    - `lr` may differ between variables. `schedule` maps (step, steps) to a factor on it.
    - `keep` chooses among the finite iterates of a row. If a loss is not finite, the row is `diverged`; if no loss is
      finite, its first iterate is the result.
    - `project` changes the variables in place after each update.
    - `carried`: variables with Adam moments from an earlier run. All others start with zero moments.
    - `watch` can resume the run. It receives the state after the steps that it marks.
    """
    watch = watch or Watch()
    run = Run(start, steps, lr, schedule, keep, carried or {}, watch.marks)
    advance = Replayed(lambda: run.advance(objective, project), name, run.loss.device)
    for step in watch.steps(name, run):
        if step + 1 == steps:
            run.evaluate(objective)
        elif step in watch.marks:
            run.advance(objective, project)
        else:
            advance()
    watch.note(run.parameters, run.marked)
    return run.optimum()


class Run:
    """A running optimisation: all that a checkpoint must hold."""

    def __init__(
        self,
        start: Mapping[str, Tensor],
        steps: int,
        lr: float | Mapping[str, float],
        schedule: Schedule | None,
        keep: Keep,
        carried: Mapping[str, Moments],
        marks: Sequence[int],
    ) -> None:
        self.variables: Variables = {
            key: value.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
            for key, value in start.items()
        }
        self.exp_avg = {key: torch.zeros_like(value, requires_grad=False) for key, value in self.variables.items()}
        self.exp_avg_sq = {key: torch.zeros_like(value, requires_grad=False) for key, value in self.variables.items()}
        self.updates = {key: carried[key].updates if key in carried else 0 for key in start}
        """Adam's updates before this run."""
        for key, moments in carried.items():
            self.exp_avg[key].copy_(moments.exp_avg)
            self.exp_avg_sq[key].copy_(moments.exp_avg_sq)
        self.marks = marks
        self.marked: dict[str, Tensor] = {}
        """The iterate and Adam's moments at each of the marks: `500.variables.z`."""
        self.keep = keep
        self.steps = steps
        self.step = 0
        """Steps done."""
        self.kept: dict[str, Tensor] = {}
        first = next(iter(self.variables.values()))
        rows = len(first)
        self.now = torch.zeros((), dtype=torch.int64, device=first.device)
        """`step` where the device reads it."""
        rates = {key: lr[key] if isinstance(lr, Mapping) else lr for key in start}
        self.rates = rates if schedule is None else _scheduled(rates, schedule, steps, first.device)
        """Learning rates: numbers, or the tensor [steps] of a schedule."""
        self.loss = torch.full((rows,), torch.inf, dtype=first.dtype, device=first.device)
        self.kept_step = torch.zeros(rows, dtype=torch.int64, device=first.device)
        self.diverged = torch.zeros(rows, dtype=torch.bool, device=first.device)
        self.trace = torch.full((steps, rows), torch.nan, dtype=first.dtype, device=first.device)

    def advance(self, objective: Objective, project: Callable[[Variables], None] | None) -> None:
        """One whole step, in place: evaluate, record, update, project."""
        self.descend(self.evaluate(objective))
        if project is not None:
            with torch.no_grad():
                project(self.variables)
        self.now += 1

    def evaluate(self, objective: Objective) -> Tensor:
        """The losses [N] of the variables, recorded."""
        loss, kept = objective(self.variables, self.now)
        self.record(loss.detach(), kept)
        return loss

    @torch.no_grad()
    def record(self, loss: Tensor, kept: Mapping[str, Tensor]) -> None:
        """Record the losses [N] of this step, and keep the iterates that `keep` selects."""
        finite = loss.isfinite()
        taken = finite if self.keep == "last" else finite & (loss < self.loss)
        self.trace.index_copy_(0, self.now.view(1), loss[None])
        self.diverged |= ~finite
        torch.where(taken, loss, self.loss, out=self.loss)
        torch.where(taken, self.now, self.kept_step, out=self.kept_step)
        for key, value in kept.items():
            if key not in self.kept:
                self.kept[key] = value.to(loss.dtype, copy=True)
            old = self.kept[key]
            torch.where(taken.view(-1, *[1] * (value.ndim - 1)), value.to(old.dtype), old, out=old)
        if self.step in self.marks:
            here = {"kept": kept, **{name: getattr(self, name) for name in _OF_VARIABLES}}
            for name, tensors in here.items():
                self.marked |= {f"{self.step}.{name}.{key}": v.detach().clone() for key, v in tensors.items()}

    def descend(self, loss: Tensor) -> None:
        """One step of Adam on the sum of the losses, with gradients for the variables only."""
        gradients = torch.autograd.grad(loss.sum(), list(self.variables.values()))
        counts = {n: (self.now + n).to(torch.float32) for n in set(self.updates.values())}
        for (key, value), gradient in zip(self.variables.items(), gradients, strict=True):
            rate = self.rates[key]
            adam(
                [value.detach()],
                # The fused kernel reads memory in order, but a gradient may be a view with other strides.
                [gradient.contiguous()],
                [self.exp_avg[key]],
                [self.exp_avg_sq[key]],
                [],
                [counts[self.updates[key]].clone()],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=rate.index_select(0, self.now.view(1))[0] if isinstance(rate, Tensor) else rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    @property
    def parameters(self) -> int:
        """Number of values optimised per problem."""
        return sum(value[0].numel() for value in self.variables.values())

    def optimum(self) -> Optimum:
        """The result, once all steps are done."""
        status = tuple("diverged" if bad else "ok" for bad in self.diverged.tolist())
        return Optimum(self.kept, self.loss, self.kept_step, self.trace.T.contiguous(), status)

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors; a finished run needs only its result."""
        state = {name: getattr(self, name) for name in ("loss", "kept_step", "diverged", "trace")}
        state |= {f"kept.{key}": value for key, value in self.kept.items()}
        state |= {f"marked.{key}": value for key, value in self.marked.items()}
        if self.step < self.steps:
            for name in _OF_VARIABLES:
                state |= {f"{name}.{key}": value for key, value in getattr(self, name).items()}
        return state

    def load(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Continue from the state that `tensors` returned after `step` steps."""
        self.step = step
        self.now.fill_(step)
        for name in ("loss", "kept_step", "diverged", "trace"):
            getattr(self, name).copy_(state[name])
        # Copies, because memory-mapped tensors are not aligned, and alignment may change how sums are rounded.
        device = self.loss.device
        for name in ("kept", "marked"):
            found = {key.removeprefix(f"{name}."): v for key, v in state.items() if key.startswith(f"{name}.")}
            setattr(self, name, {key: value.to(device, copy=True) for key, value in found.items()})
        if step < self.steps:
            for name in _OF_VARIABLES:
                for key, value in getattr(self, name).items():
                    value.data.copy_(state[f"{name}.{key}"])


def _scheduled(rates: Mapping[str, float], schedule: Schedule, steps: int, device: torch.device) -> dict[str, Tensor]:
    """The learning rate of each step, by variable: [steps]. Adam's kernel on CUDA reads rates in float32."""
    factors = [schedule(step, steps) for step in range(steps)]
    dtype = torch.float64 if device.type == "cpu" else torch.float32
    return {
        key: torch.tensor([rate * factor for factor in factors], dtype=dtype).to(device) for key, rate in rates.items()
    }
