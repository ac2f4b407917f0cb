"""Runs `reprior restore`: reads the photograph, runs the methods, writes the pictures and the page."""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from reprior.api.generators import Found, find_generator, generator_spec
from reprior.api.methods import run
from reprior.errors import UserError
from reprior.generators.base import build_generator, load_generator
from reprior.machine.files import remove_halves
from reprior.machine.locks import working_on
from reprior.methods.base import Problem
from reprior.operators.base import Operator
from reprior.optimise.watch import Watch
from reprior.photos.cells import Cell, Kept, cells, keep, kept_path, read_kept
from reprior.photos.outputs import Outputs
from reprior.photos.photo import Photo, read_photo, window
from reprior.photos.tasks import IMAGE, STUDY, Prepared, Task, case_name, prepare

FALLBACK = "began-faces-drawn"
"""The bundled generator that takes the place of one that is not there."""
INTERRUPTED = 130


@dataclass(frozen=True)
class Request:
    """The command."""

    photo: Path
    task: Task
    methods: Sequence[str]
    generator: str = "began-celeba-64"
    crop: tuple[int, ...] | None = None
    steps: int | None = None
    seed: int = 0
    out: Path | None = None
    data: Path = Path("data")
    mirrors: Sequence[Path] = ()
    offline: bool = False

    @property
    def folder(self) -> Path:
        """Where the outputs go."""
        return self.out or Path("restored") / f"{self.photo.stem}-{self.task.name}"


def asked(methods: Sequence[str], **arguments: Any) -> Request:
    """The request of the command's options: those of the task, and the others."""
    given = {key: arguments.pop(key) for key in ("factor", "mask", "box", "width", "ratio", "noise", "given")}
    return Request(task=Task(arguments.pop("task"), **given), methods=methods, **arguments)


def restore(request: Request, device: str) -> Path:
    """Restore one photograph by each method. Returns the page.

    Each method's result is kept when it is done. The same command again computes only what is missing. SIGINT ends it
    with exit status 130 after the step, with a page of what is done.
    """
    request.task.check()
    wanted = cells(request.methods, request.steps)
    photo = read_photo(request.photo)
    box = window(photo, request.crop)
    out = Outputs(request.folder)
    out.check()
    spec = generator_spec(request.generator)
    prepared = prepare(photo, box, request.task, build_generator(spec).image_shape, request.seed)
    found, warnings = _generator(request, wanted)
    if found and found.spec != spec:  # another one takes its place
        spec = found.spec
        prepared = prepare(photo, box, request.task, build_generator(spec).image_shape, request.seed)
    warnings = (*warnings, *prepared.warnings)
    _say(f"{photo.path}: {', '.join(prepared.done)}")
    for warning in prepared.warnings:
        _say(f"warning: {warning}")
    origin = _origin(request, photo, box, prepared, spec, found)
    about: dict[str, Any] = {
        "photo": photo.path.name,
        "task": _task(request.task),
        "done": prepared.done,
        "measurements": prepared.y.numel(),
        "warnings": warnings,
        "generator": found.name if found else None,
        "seed": request.seed,
        "command": _command(),
    }
    try:
        with working_on(out.folder.absolute()):
            out.begin(origin, about, prepared)
            runner = _Runner(out, prepared, origin, request, found, torch.device(device))
            return runner.run(wanted)
    except OSError as error:
        raise UserError(f"{out.folder}: cannot be written ({error}); give another folder with --out") from error


@dataclass
class _Runner:
    out: Outputs
    prepared: Prepared
    origin: Mapping[str, Any]
    request: Request
    found: Found | None
    device: torch.device

    def run(self, wanted: Sequence[Cell]) -> Path:
        """Compute every cell, then write the page; also if a signal or an error ends it early."""
        problem = self._problem(self.prepared.operator)
        generator = load_generator(self.found.spec, self.found.weights, self.device) if self.found else None
        try:
            for cell in wanted:
                kept = self._kept(cell, problem, generator)
                self.out.add(cell, kept)
                _say(f"{cell.label}: done, {kept.seconds:.1f} s")
        except (SystemExit, KeyboardInterrupt) as left:
            if self.out.made:
                self.out.finish(self.request.data)
            _say(f"stopped; done: {', '.join(self.out.made) or 'nothing'}; the same command goes on from here")
            raise SystemExit(getattr(left, "code", INTERRUPTED)) from None
        except UserError:
            if self.out.made:
                self.out.finish(self.request.data)
            else:
                self.out.discard()
            raise
        return self.out.finish(self.request.data)

    def _problem(self, operator: Operator) -> Problem:
        y = self.prepared.y.to(self.device)
        seeds = (STUDY, case_name(self.request.seed), (IMAGE,))
        return Problem(y, operator.to(self.device, torch.float32), *seeds, noise=self.request.task.deviation)

    def _kept(self, cell: Cell, problem: Problem, generator: Any) -> Kept:
        """The result of a cell: the one on disk if nothing has changed, else a new one."""
        path, identity = kept_path(self.out.folder, cell.label), cell.identity(self.origin)
        if there := read_kept(path, identity, self.device):
            return there
        start = self._kept(cell.start, problem, generator).reconstruction if cell.start else None
        watch = Watch(self.request.photo.name, path.with_suffix(".checkpoint"), fingerprint=identity)
        with watch.catching_signals():
            began = time.perf_counter()
            found = run(cell.spec, replace(problem, watch=watch), generator, start)
            kept = keep(path, found, began, identity)
        watch.done()
        remove_halves(path)
        return kept


def _generator(request: Request, wanted: Sequence[Cell]) -> tuple[Found | None, tuple[str, ...]]:
    """The generator, if a method needs one, and a warning if it is not the one that was asked for."""
    if not any(cell.needs_generator for cell in wanted):
        return None, ()
    try:
        return find_generator(request.generator, request.data, mirrors=request.mirrors, offline=request.offline), ()
    except UserError as error:
        _say(str(error))
    except OSError as error:
        raise UserError(f"{request.data}: cannot be written ({error}); give another folder with --data") from error
    warning = (
        f"the weights {request.generator} are not here and could not be fetched; the bundled {FALLBACK} is used "
        "instead. It was trained on faces that a program drew, so its pictures of a photographed face look drawn, "
        "and fit it worse than those of a network trained on photographs"
    )
    _say(f"warning: {warning}")
    return find_generator(FALLBACK, request.data), (warning,)


def _origin(
    request: Request,
    photo: Photo,
    box: Sequence[int],
    prepared: Prepared,
    generator: Mapping[str, Any],
    found: Found | None,
) -> dict[str, Any]:
    """What every result depends on besides method and code."""
    mask = getattr(prepared.operator, "mask", None)
    weights = hashlib.sha256(found.weights.read_bytes()).hexdigest() if found else None
    return {
        "photo": photo.sha256,
        "box": list(box),
        "operator": request.task.spec,
        "noise": request.task.deviation,
        "given": request.task.given,
        "mask": None if mask is None else hashlib.sha256(mask.numpy().tobytes()).hexdigest(),
        "seed": request.seed,
        "generator": dict(generator),
        "weights": weights,
    }


def _task(task: Task) -> dict[str, Any]:
    """The task as in the command, without what was not given."""
    asked = asdict(task) | {"mask": task.mask and str(task.mask), "noise": task.deviation, "operator": task.spec}
    return {key: value for key, value in asked.items() if value is not None}


def _command() -> str:
    return shlex.join(["reprior", *sys.argv[1:]])


def _say(text: str) -> None:
    print(f"reprior: {text}", file=sys.stderr, flush=True)
