"""A training from start to end: its steps, the choice among its candidates, and the files it writes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.loading import Kind, load, names
from reprior.machine.files import save_tensors, write_json, write_text
from reprior.networks.trained import built, trained
from reprior.optimise.watch import Watch
from reprior.training.candidates import Candidates, best
from reprior.training.curves import save_curves
from reprior.training.data import Material, read_material
from reprior.training.fit import decibels
from reprior.training.recipe import Recipe
from reprior.training.sheet import save_sheet
from reprior.training.task import Task

INTERVAL = 100
"""Steps between two lines of the log."""
_SAMPLES = 32
_IN_A_ROW = 8


def train_network(
    weights: Path,
    *,
    network: Mapping[str, Any],
    dataset: Mapping[str, Any],
    recipe: Mapping[str, Any],
    checkpoint: Path,
    log: Path,
    against: Mapping[str, Mapping[str, Any]] | None = None,
    raw: Path = Path("data/raw"),
    device: torch.device | str = "cpu",
    every_seconds: float = 60.0,
    code: str = "",
) -> None:
    """Train on images of `dataset`, then write the weights of the candidate that does best on held-out images.

    `against` are frozen generators by name, each a spec with its file of weights. Files written beside `weights`:

    - `.json`: the settings, the machine and every candidate's score;
    - `.png`: samples;
    - `-losses.png`: curves;
    - `-progress.png`: the same samples of each candidate.

    An interrupted training with the same settings continues from `checkpoint`, which SIGTERM and SIGINT also write. A
    checkpoint of other `code`, or against other weights, is not used.
    """
    task, settings = _task(recipe), read_recipe(recipe)
    made, frozen = built(cast(Kind, task.trains), network), _frozen(against or {}, device)
    material = read_material(dataset, settings, raw)
    _check_shapes(made, material)
    identity = {task.trains: dict(network), "dataset": dict(dataset)}
    identity |= {"against": _hashed(against)} if against else {}
    fingerprint = _fingerprint(identity | {"code": code}, settings)
    candidates = Candidates(checkpoint.with_suffix(".candidates"), fingerprint)
    watch = Watch(weights.stem, checkpoint, every_seconds, fingerprint)
    training = task(made, settings, device, **frozen)
    with watch.catching_signals():
        train(training, material.training, log=log, watch=watch, keep=candidates.keep)
        seconds, count = training.seconds, len(candidates.steps())
        print(f"{weights.stem}: comparing {count} candidates on held-out images", file=sys.stderr, flush=True)
        held_out = _tensor(material, training.device)
        errors = candidates.errors(training.average, lambda network: training.errors(network, held_out))
        account = identity | _account(training, seconds, material, errors)
        write_results(weights, training, candidates, errors, held_out, account)
    watch.done()
    candidates.remove()


def read_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe with the defaults of its task."""
    try:
        return _task(settings).read(settings)
    except ModuleNotFoundError as error:
        known = ", ".join(names("objective"))
        raise UserError(
            f"training recipe: 'objective': there is no '{settings.get('objective')}'; use one of {known}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"training recipe: '{'.'.join(map(str, first['loc']))}': {first['msg']}") from error


def train(task: Task, images: np.ndarray, *, log: Path, watch: Watch, keep: Callable[[int, nn.Module], object]) -> None:
    """Do the remaining steps on uint8 images [M, C, H, W]; `watch` knows where to continue.

    `log` gets one line of JSON every 100 steps: means since the last line. `keep(step, network)` is called with each
    candidate: the moving average, every `candidate_every` steps and at the end. If the network has a method `settle()`,
    it first computes what follows from its weights.
    """
    for step in watch.steps("training", task):
        with _dropout_of(task):
            task.advance(images)
        done = step + 1
        last = done == task.steps
        if last or done % INTERVAL == 0:
            _record(log, task, done)
        if last or done % task.recipe.candidate_every == 0:
            settle = getattr(task.average, "settle", None)
            if callable(settle):
                settle()
            keep(done, task.average)


@contextmanager
def _dropout_of(task: Task) -> Iterator[None]:
    """Give each step its own seed for PyTorch's dropout, the only draw that takes no generator of ours."""
    with torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        torch.random.default_generator.manual_seed(seed := task.dropout_seed())
        if task.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


def write_results(
    weights: Path,
    task: Task,
    candidates: Candidates,
    errors: Mapping[int, float],
    images: Tensor,
    account: Mapping[str, Any],
) -> None:
    """Write the weights of the candidate with the lowest error, the pictures, and the account with the hash."""
    chosen, scores = best(errors), {step: decibels(error) for step, error in errors.items()}
    beside = {name: weights.with_name(f"{weights.stem}-{name}.png") for name in ("losses", "progress")}
    save_curves(beside["losses"], task.NUMBERS, task.numbers, scores, chosen)
    rows = [task.samples(network, images, _IN_A_ROW) for _, network in candidates.each(task.average)]
    save_sheet(beside["progress"], torch.cat(rows), _IN_A_ROW, [str(step) for step in errors])
    network = candidates.load(chosen, task.average)
    save_sheet(weights.with_suffix(".png"), task.samples(network, images, _SAMPLES), _IN_A_ROW)
    save_tensors(weights, network.state_dict(), {key: account[key] for key in (task.trains, "dataset")})
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    write_json(weights.with_suffix(".json"), {**account, "sha256": digest})


def _task(recipe: Mapping[str, Any]) -> type[Task]:
    name = str(recipe.get("task", "gan"))
    try:
        found: type[Task] = load("task", name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"training recipe: 'task': there is no '{name}'; use one of {', '.join(names('task'))}"
        ) from error
    return found


def _frozen(against: Mapping[str, Mapping[str, Any]], device: torch.device | str) -> dict[str, Generator]:
    """The generators that a task trains against, loaded from their files of weights."""
    return {name: cast(Generator, trained("generator", spec, device)) for name, spec in against.items()}


def _hashed(against: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The specs with the hash of each file of weights instead of its path: the result depends on the content."""
    return {
        name: {**spec, "weights": hashlib.sha256(Path(spec["weights"]).read_bytes()).hexdigest()}
        for name, spec in against.items()
    }


def _record(log: Path, task: Task, done: int) -> None:
    """Add the means since the last line. Drop later lines that an interrupted run wrote."""
    since = (done - 1) // INTERVAL * INTERVAL
    numbers = task.numbers[since:done].mean(0).tolist()
    if not np.isfinite(numbers).all():
        raise UserError(f"training diverged before step {done}: lower the learning rates, or train for fewer steps")
    lines = log.read_text().splitlines() if log.exists() else []
    while lines and json.loads(lines[-1])["step"] > since:
        lines.pop()
    means = dict(zip(task.NUMBERS, numbers, strict=True))
    line = json.dumps({"step": done, **means, "seconds": round(task.seconds, 3)})
    write_text(log, "\n".join([*lines, line]) + "\n")


def _account(task: Task, seconds: float, material: Material, errors: Mapping[int, float]) -> dict[str, Any]:
    chosen = best(errors)
    return {
        "recipe": task.recipe.model_dump(),
        "images": len(material.training),
        "images_seen": task.step * task.recipe.batch,
        "held_out_fit": {**material.origin, "psnr_of_mean_mse": round(decibels(errors[chosen]), 3)},
        "candidates": [{"step": step, "psnr_of_mean_mse": round(decibels(e), 3)} for step, e in errors.items()],
        "chosen": chosen,
        "seconds": round(seconds),
        "device": str(task.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _fingerprint(identity: Mapping[str, Any], recipe: Recipe) -> str:
    """Hash that a checkpoint must match. It leaves out `steps`, so that more may be asked for later."""
    settings = {**identity, "recipe": recipe.model_dump(exclude={"steps"})}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _tensor(material: Material, device: torch.device) -> Tensor:
    return torch.from_numpy(material.held_out).to(device).float() / 255


def _check_shapes(network: nn.Module, material: Material) -> None:
    found, expected = material.training.shape[1:], getattr(network, "image_shape", None)
    if expected is not None and found != tuple(expected):
        raise UserError(
            f"training: the network is for images of {tuple(expected)}, but those of the data set are {found}: give"
            " both the same size"
        )
