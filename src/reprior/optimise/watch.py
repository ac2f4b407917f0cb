"""Watches an optimisation: shows progress, saves checkpoints by the clock, and stops cleanly on a signal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from reprior.errors import DiskFullError, UserError
from reprior.machine.files import load_tensors, remove_halves, save_tensors

if TYPE_CHECKING:
    from torch import Tensor

_TERMINAL_SECONDS = 0.5
_LINE_SECONDS = 30.0


class Run(Protocol):
    """What can be watched: something that runs step by step and can be saved."""

    step: int
    """Steps done so far."""

    @property
    def steps(self) -> int:
        """Steps in all."""

    @property
    def trace(self) -> Tensor:
        """The loss of each step: [steps, ...]."""

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on."""

    def load(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Continue from what `tensors` returned after `step` steps."""


@dataclass
class _Shared:
    """What the watches of one job have in common."""

    parts: dict[str, tuple[int, dict[str, Tensor]]] | None = None
    """{name of an optimisation: (steps done, state)}. None until the checkpoint file has been looked for."""
    looping: bool = False
    asked_to_stop: int | None = None
    parameters: int | None = None
    marked: list[Mapping[str, Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class Watch:
    """Shows progress and keeps one checkpoint file for all the optimisations of a job.

    Without arguments, it is silent and keeps no checkpoint.
    """

    label: str = ""
    """The name in progress reports. Empty: no reports."""
    checkpoint: Path | None = None
    """The checkpoint file, safetensors."""
    every_seconds: float = 60.0
    """Time between two checkpoints."""
    fingerprint: str = ""
    """Hash of all settings and inputs. A checkpoint with another fingerprint is not used."""
    marks: tuple[int, ...] = ()
    """Steps after which the state of an optimisation is kept, for methods that start from it."""
    part: str = ""
    """The part of the job, such as `0-8/`; see `within`."""
    _shared: _Shared = field(default_factory=_Shared, repr=False)

    def within(self, part: str) -> Watch:
        """The same watch for one part of the job. Optimisations in different parts may have the same name."""
        return replace(self, part=f"{self.part}{part}/")

    def steps(self, name: str, run: Run) -> Iterator[int]:
        """The steps that `run` still has to do. Restores `run` first, and saves it at intervals and at its end."""
        name = self.part + name
        step, state = self._parts().get(name, (0, {}))
        if step:
            run.load(step, state)
        saved = time.monotonic()
        progress = _Progress(f"{self.label} {name}", run) if self.label else None
        self._shared.looping = True
        try:
            while run.step < run.steps:
                yield run.step
                run.step += 1
                if progress:
                    progress.show(run)
                asked = self._shared.asked_to_stop
                if asked is not None or time.monotonic() - saved >= self.every_seconds:
                    self._save(name, run)
                    saved = time.monotonic()
                if asked is not None:
                    raise SystemExit(128 + asked)
        finally:
            self._shared.looping = False
            if progress:
                progress.close()
        self._keep(name, run)

    def note(self, parameters: int, marked: Mapping[str, Tensor]) -> None:
        """Keep from a finished optimisation: the number of values per image, and the state at the marks."""
        self._shared.parameters = max(parameters, self._shared.parameters or 0)
        self._shared.marked.append(marked)

    @property
    def parameters(self) -> int | None:
        """Number of values optimised per image. None if nothing was optimised."""
        return self._shared.parameters

    @property
    def marked(self) -> dict[str, Tensor]:
        """The states at the marks, of all images: `500.variables.z` [N, ...]."""
        import torch

        parts = self._shared.marked
        return {key: torch.cat([part[key] for part in parts]) for key in (parts[0] if parts else ())}

    def _parts(self) -> dict[str, tuple[int, dict[str, Tensor]]]:
        if self._shared.parts is None:
            self._shared.parts = self._read()
        return self._shared.parts

    def _read(self) -> dict[str, tuple[int, dict[str, Tensor]]]:
        if self.checkpoint is None or not self.checkpoint.exists():
            return {}
        try:
            tensors, meta = load_tensors(self.checkpoint)
        except UserError as error:
            self._say(f"starting afresh, since the checkpoint is damaged: {error}")
            return {}
        if meta.get("fingerprint") != self.fingerprint:
            self._say(f"starting afresh, since {self.checkpoint} was made with other settings or inputs")
            return {}
        self._say(f"going on from {self.checkpoint}")
        return {
            name: (step, {key: tensors[f"{name}.{key}"] for key in keys})
            for name, (step, keys) in meta["parts"].items()
        }

    def _keep(self, name: str, run: Run) -> None:
        """Remember the state of a run, on the CPU; the next checkpoint writes it."""
        if self.checkpoint is not None:
            self._parts()[name] = (run.step, {key: value.detach().cpu() for key, value in run.tensors().items()})

    def _save(self, name: str, run: Run) -> None:
        if self.checkpoint is None:
            return
        self._keep(name, run)
        parts = self._parts()
        tensors = {f"{part}.{key}": value for part, (_, state) in parts.items() for key, value in state.items()}
        index = {part: (step, list(state)) for part, (step, state) in parts.items()}
        try:
            save_tensors(self.checkpoint, tensors, {"fingerprint": self.fingerprint, "parts": index})
        except DiskFullError as error:  # the job may still finish
            self._say(f"going on without a new checkpoint: {error}")

    def _say(self, text: str) -> None:
        print(f"{self.label or 'reprior'}: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """Inside the block, SIGTERM or SIGINT finishes the step, saves a checkpoint and exits.

        A second signal, or one between optimisations, exits at once.
        """

        def leave(number: int, frame: FrameType | None) -> None:
            if not self._shared.looping or self._shared.asked_to_stop is not None:
                raise SystemExit(128 + number)
            self._shared.asked_to_stop = number

        before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def done(self) -> None:
        """Once the result is in its place, remove the checkpoint and half-written copies that a killed job left."""
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)
            remove_halves(self.checkpoint)


class _Progress:
    """A bar on a terminal, otherwise a line at intervals. Reads the loss from the device only to show it."""

    def __init__(self, label: str, run: Run) -> None:
        self.label = label
        self.bar = tqdm(total=run.steps, initial=run.step, desc=label, file=sys.stderr, disable=None, leave=False)
        self.first_step = run.step
        self.began = self.shown = time.monotonic()

    def show(self, run: Run) -> None:
        now = time.monotonic()
        if now - self.shown < (_LINE_SECONDS if self.bar.disable else _TERMINAL_SECONDS):
            return
        self.shown = now
        loss = run.trace[run.step - 1].nanmean().item()
        if self.bar.disable:
            left = (now - self.began) / (run.step - self.first_step) * (run.steps - run.step)
            line = f"{self.label}: step {run.step} of {run.steps}, loss {loss:.4g}, {tqdm.format_interval(left)} left"
            print(line, file=sys.stderr, flush=True)
        else:
            self.bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self.bar.update(run.step - self.bar.n)

    def close(self) -> None:
        self.bar.close()
