"""The one optimisation loop: N independent problems at once, each on the path that it would follow alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim.adam import adam  # the class `Adam` would import all of torch's compiler: seconds for each job

from reprior.watch import Watch

__all__ = ["Keep", "Objective", "Optimum", "Variables", "minimise"]

Variables = dict[str, Tensor]
"""What is optimised: each tensor has the N problems along its first axis."""
Objective = Callable[[Variables, int], tuple[Tensor, Mapping[str, Tensor]]]
"""(variables, step) -> loss [N], and what is wanted of this iterate: tensors [N, ...]."""
Keep = Literal["best", "last"]
"""Which iterate is the result: that of minimal loss (IAGAN's text) or the last one (its released code)."""


@dataclass(frozen=True)
class Optimum:
    """What `minimise` found, one row a problem."""

    kept: dict[str, Tensor]
    """What the objective gave at the kept iterate: [N, ...]."""
    loss: Tensor
    """[N] loss of the kept iterate; infinite where no iterate was finite."""
    step: Tensor
    """[N] step of the kept iterate."""
    trace: Tensor
    """[N, steps]"""
    status: tuple[str, ...]
    """`ok`, or `diverged`: some loss was not finite."""


def minimise(
    objective: Objective,
    start: Mapping[str, Tensor],
    *,
    steps: int,
    lr: float | Mapping[str, float],
    keep: Keep = "best",
    schedule: Callable[[float], float] | None = None,
    project: Callable[[Variables], None] | None = None,
    watch: Watch | None = None,
    name: str = "minimise",
) -> Optimum:
    """Minimise N losses at once with Adam from `start`, in `steps` evaluations and one update between any two.

    The sum of the losses is what is differentiated and Adam is elementwise, so the rows do not know of each other. `lr`
    may differ between variables; `schedule` maps the fraction of steps done to a factor on it; `project` changes the
    variables in place after each update. A row whose loss is not finite is `diverged` and `keep` chooses among its
    finite iterates (where there is none, its first iterate is the result); other rows go on undisturbed. Nothing here
    waits for the device. A random draw in `objective` must depend on `step` alone, so that a run that `watch` resumes
    ends as an undisturbed one.
    """
    run = Run(start, steps, lr, keep)
    for step in (watch or Watch()).steps(name, run):
        loss, kept = objective(run.variables, step)
        run.record(loss.detach(), kept)
        if step + 1 < steps:
            run.descend(loss, schedule(step / steps) if schedule else 1.0)
            if project is not None:
                with torch.no_grad():
                    project(run.variables)
    return run.optimum()


class Run:
    """One optimisation under way: all that a checkpoint must hold."""

    def __init__(self, start: Mapping[str, Tensor], steps: int, lr: float | Mapping[str, float], keep: Keep) -> None:
        self.variables: Variables = {
            key: value.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
            for key, value in start.items()
        }
        self.rates = {key: lr[key] if isinstance(lr, Mapping) else lr for key in start}
        self.exp_avg = {key: torch.zeros_like(value, requires_grad=False) for key, value in self.variables.items()}
        self.exp_avg_sq = {key: torch.zeros_like(value, requires_grad=False) for key, value in self.variables.items()}
        self.keep = keep
        self.steps = steps
        self.step = 0
        """Steps done."""
        self.kept: dict[str, Tensor] = {}
        first = next(iter(self.variables.values()))
        rows = len(first)
        self.loss = torch.full((rows,), torch.inf, dtype=first.dtype, device=first.device)
        self.kept_step = torch.zeros(rows, dtype=torch.int64, device=first.device)
        self.diverged = torch.zeros(rows, dtype=torch.bool, device=first.device)
        self.trace = torch.full((steps, rows), torch.nan, dtype=first.dtype, device=first.device)

    @torch.no_grad()
    def record(self, loss: Tensor, kept: Mapping[str, Tensor]) -> None:
        """Note the losses [N] of this step, and keep the iterate of each row that deserves it."""
        finite = loss.isfinite()
        taken = finite if self.keep == "last" else finite & (loss < self.loss)
        self.trace[self.step] = loss
        self.diverged |= ~finite
        self.loss = torch.where(taken, loss, self.loss)
        self.kept_step.masked_fill_(taken, self.step)
        for key, value in kept.items():
            old = self.kept.get(key, value)
            self.kept[key] = torch.where(taken.view(-1, *[1] * (value.ndim - 1)), value, old)

    def descend(self, loss: Tensor, factor: float) -> None:
        """One step of Adam on the sum of the losses, gradients taken for the variables alone."""
        gradients = torch.autograd.grad(loss.sum(), list(self.variables.values()))
        count = torch.full((), float(self.step), device=loss.device)
        for (key, value), gradient in zip(self.variables.items(), gradients, strict=True):
            adam(
                [value.detach()],
                # The fused kernel reads memory in order, and a gradient may be a view with strides of its own.
                [gradient.contiguous()],
                [self.exp_avg[key]],
                [self.exp_avg_sq[key]],
                [],
                [count.clone()],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.rates[key] * factor,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    def optimum(self) -> Optimum:
        """The result, once all steps are done."""
        status = tuple("diverged" if bad else "ok" for bad in self.diverged.tolist())
        return Optimum(self.kept, self.loss, self.kept_step, self.trace.T.contiguous(), status)

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors; a finished run needs only its result."""
        state = {name: getattr(self, name) for name in ("loss", "kept_step", "diverged", "trace")}
        state |= {f"kept.{key}": value for key, value in self.kept.items()}
        if self.step < self.steps:
            for name in ("variables", "exp_avg", "exp_avg_sq"):
                state |= {f"{name}.{key}": value for key, value in getattr(self, name).items()}
        return state

    def load(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Go on from the state that `tensors` gave after `step` steps."""
        self.step = step
        for name in ("loss", "kept_step", "diverged", "trace"):
            getattr(self, name).copy_(state[name])
        # Copies, because what a file is mapped to is not aligned, and alignment may change how sums are rounded.
        device = self.loss.device
        self.kept = {key[5:]: value.to(device, copy=True) for key, value in state.items() if key.startswith("kept.")}
        if step < self.steps:
            for name in ("variables", "exp_avg", "exp_avg_sq"):
                for key, value in getattr(self, name).items():
                    value.data.copy_(state[f"{name}.{key}"])
