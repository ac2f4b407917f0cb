"""Observations -> reconstructions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.loading import load, needs
from reprior.losses import DEFAULT
from reprior.machine.facts import command, device_name, peak_memory_mib, seconds_since_start, versions
from reprior.machine.files import load_tensors, save_tensors, write_json
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.networks.trained import trained
from reprior.operators import make_operator
from reprior.operators.noise import deviation
from reprior.optimise.watch import Watch


def reconstruct(
    observation: Path,
    method: Mapping[str, Any],
    out: Path,
    *,
    label: str,
    generator: Mapping[str, Any] | None = None,
    networks: Mapping[str, Mapping[str, Any]] | None = None,
    starts: Mapping[str, Mapping[str, Any]] | None = None,
    marks: Sequence[int] = (),
    raw: Path = Path("data/raw"),
    device: str = "cpu",
    checkpoint_seconds: float = 60,
    identity: str = "",
    solver: Callable[..., Reconstruction] | None = None,
) -> None:
    """Run one method on one batch. Writes `out` and, next to it, a .json that says how it was made.

    `generator` and `networks` (by the method's argument) are specs with a file of weights. `starts` is what the method
    starts from: {its argument: {file: a result, step: the step of its state, or None}}. `marks` are the steps from
    which other methods start. `identity` is a hash of everything the result depends on. A checkpoint with a different
    identity is not continued. `solver` runs instead of the plug-in of `method`.
    """
    where = torch.device(device)
    tensors, meta = load_tensors(observation)
    operator = make_operator(meta["study"], meta["case"], meta["operator"], meta["image_shape"])
    watch = Watch(
        label=f"{meta['case']}/{label}",
        checkpoint=out.with_name(f".{out.stem}.checkpoint"),
        every_seconds=checkpoint_seconds,
        fingerprint=identity,
        marks=tuple(marks),
    )
    settings = dict(method)
    name, losses, sna = settings.pop("name"), settings.pop("loss", DEFAULT), settings.pop("sna", False)
    precision = settings.pop("precision", "float32")
    problem = Problem(
        y=tensors["y"].to(where),
        operator=operator.to(where, torch.float32),
        study=meta["study"],
        case=meta["case"],
        ids=tuple(meta["ids"]),
        watch=watch,
        losses=losses,
        raw=raw,
        sna=sna,
        clip=meta.get("clip", False),
        noise=deviation(meta, tensors["y"]),
        precision=precision,
    )
    solver = solver or load("method", name)
    begun = {need: _start(Path(start["file"]), start["step"], where) for need, start in (starts or {}).items()}
    needed = {
        need: trained("network", spec, where, precision=precision) for need, spec in (networks or {}).items()
    } | begun
    if generator is not None:
        needed["generator"] = trained("generator", generator, where, precision=precision)
    startup = seconds_since_start()
    with watch.catching_signals():
        began = time.perf_counter()
        try:
            found = solve(solver, problem, *(needed[need] for need in needs(solver) if need != "problem"), **settings)
        except UserError as error:
            raise UserError(f"case {meta['case']}: {error}") from error
        seconds = _finished(where) - began
    status = _status(found)
    kept = {"images": found.images, "latents": found.latents, "trace": found.trace}
    origin = {"study": meta["study"], "case": meta["case"], "method": label, "ids": meta["ids"], "status": status}
    made = {key: tensor for key, tensor in kept.items() if tensor is not None}
    made |= {f"part.{part}": images for part, images in found.parts.items()}
    made |= {f"feature.{feature}": values for feature, values in found.features.items()}
    save_tensors(out, made | _marked(watch, len(problem), label), origin)
    chosen = {key: value for key, value in method.items() if key != "name"}
    asked = {"plugin": name, "settings": chosen, "generator": generator}
    asked |= {"networks": networks or {}, "starts": starts or {}}
    noise = {key: meta[key] for key in ("noise", "noise_norm", "clip") if key in meta}
    numbers = _numbers(found, watch) | _agreement(problem, found.images)
    numbers["passes"] = [_steps(found) * settings.get("restarts", 1)] * len(problem)
    solved = {"operator": meta["operator"], "numbers": numbers} | noise
    spent = {"seconds": seconds, "seconds_per_image": seconds / len(problem), "startup_seconds": startup}
    machine = {
        "peak_memory_mib": peak_memory_mib(),
        "device": device_name(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "command": command(),
        "versions": versions(),
    }
    write_json(out.with_suffix(".json"), origin | asked | solved | spent | machine)
    watch.done()


def _status(found: Reconstruction) -> list[str]:
    """The status of each image, as the method says; `diverged` if the image is not finite."""
    finite = found.images.isfinite().flatten(1).all(1).tolist()
    said = found.status or ("ok",) * len(finite)
    return [state if good else "diverged" for state, good in zip(said, finite, strict=True)]


def _numbers(found: Reconstruction, watch: Watch) -> dict[str, list[float]]:
    """The method's numbers per image, and the number of values that it optimised."""
    numbers = {name: values.tolist() for name, values in found.numbers.items()}
    return numbers if watch.parameters is None else {**numbers, "parameters": [watch.parameters] * len(found.images)}


def _steps(found: Reconstruction) -> int:
    """How often each image went through the networks of the method, in one of its restarts: once in each step."""
    return 0 if found.trace is None else found.trace.shape[1]


@torch.no_grad()
def _agreement(problem: Problem, images: Tensor) -> dict[str, list[float]]:
    """||A x - y|| / ||y|| of each image, clipped as metrics see it, and what the expected noise alone would make it.

    Nothing if some y is empty or zero, which has no relative error.
    """
    size = problem.y.flatten(1).norm(dim=1)
    if not (size > 0).all():
        return {}
    residual = problem.residual(images.clamp(0, 1)).sqrt() / size
    noise = problem.noise * problem.y[0].numel() ** 0.5 / size
    return {"residual": residual.tolist(), "noise-residual": noise.tolist()}


def _marked(watch: Watch, images: int, label: str) -> dict[str, Tensor]:
    """The states from which other methods start, under names such as `at.500.variables.z`."""
    marked = {f"at.{key}": tensor for key, tensor in watch.marked.items()}
    if any(len(tensor) != images for tensor in marked.values()):
        raise UserError(f"method {label}: its optimisation is not separate per image, so none can start from its steps")
    return marked


def _start(path: Path, step: int | None, device: torch.device) -> Reconstruction:
    """A method's result or, if `step` is given, its state after that number of steps."""
    tensors, meta = load_tensors(path)
    status = tuple(meta["status"])
    if step is None:
        moved = {name: tensor.to(device) for name, tensor in tensors.items()}
        return Reconstruction(moved["images"], moved.get("latents"), moved.get("trace"), status)
    prefix = f"at.{step}."
    state = {key.removeprefix(prefix): t.to(device) for key, t in tensors.items() if key.startswith(prefix)}
    if "kept.x" not in state:
        raise UserError(f"{path}: does not hold the state after {step} steps; make it again with `--marks '[{step}]'`")
    return Reconstruction(state["kept.x"], state.get("variables.z"), status=status, state=state, updates=step)


def _finished(device: torch.device) -> float:
    """Wait until everything queued on the device is done; return the time."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
    return time.perf_counter()
