"""Observations -> reconstructions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from reprior.files import load_tensors, save_tensors, write_json
from reprior.loading import load, needs
from reprior.machine import command, device_name, peak_memory_mib, seconds_since_start, versions
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.operators import make_operator
from reprior.watch import Watch


def reconstruct(
    observation: Path,
    method: Mapping[str, Any],
    out: Path,
    *,
    label: str,
    generator: Mapping[str, Any] | None = None,
    start: Path | None = None,
    device: str = "cpu",
    checkpoint_seconds: float = 60,
    identity: str = "",
) -> None:
    """Run one method on one batch; writes `out` and, beside it, a .json that says how it came about.

    `identity` stands for all that the result depends on: a checkpoint of another one is not continued.
    """
    where = torch.device(device)
    tensors, meta = load_tensors(observation)
    operator = make_operator(meta["study"], meta["case"], meta["operator"], meta["image_shape"])
    watch = Watch(
        label=f"{meta['case']}/{label}",
        checkpoint=out.with_name(f".{out.stem}.checkpoint"),
        every_seconds=checkpoint_seconds,
        fingerprint=identity,
    )
    problem = Problem(
        y=tensors["y"].to(where),
        operator=operator.to(where, torch.float32),
        study=meta["study"],
        case=meta["case"],
        ids=tuple(meta["ids"]),
        watch=watch,
    )
    settings = dict(method)
    name = settings.pop("name")
    solver = load("method", name)
    given = {"generator": _generator(generator, where), "start": _start(start, where)}
    startup = seconds_since_start()
    with watch.catching_signals():
        began = time.perf_counter()
        found = solve(solver, problem, *(given[need] for need in needs(solver) if need != "problem"), **settings)
        seconds = _finished(where) - began
    status = _status(found)
    kept = {"images": found.images, "latents": found.latents, "trace": found.trace}
    origin = {"study": meta["study"], "case": meta["case"], "method": label, "ids": meta["ids"], "status": status}
    save_tensors(out, {key: tensor for key, tensor in kept.items() if tensor is not None}, origin)
    asked = {"plugin": name, "settings": settings, "generator": generator, "start": str(start) if start else None}
    solved = {"operator": meta["operator"], "noise": meta["noise"]}
    spent = {"seconds": seconds, "seconds_per_image": seconds / len(problem), "startup_seconds": startup}
    machine = {
        "peak_memory_mib": peak_memory_mib(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "command": command(),
        "versions": versions(),
    }
    write_json(out.with_suffix(".json"), origin | asked | solved | spent | machine)
    watch.done()


def _generator(spec: Mapping[str, Any] | None, device: torch.device) -> torch.nn.Module | None:
    if spec is None:
        return None
    # By name, so that methods without a generator do not hang on its code.
    load_generator = import_module("reprior.generators.base").load_generator
    architecture = {key: value for key, value in spec.items() if key != "weights"}
    network: torch.nn.Module = load_generator(architecture, Path(spec["weights"]), device, torch.float32)
    return network


def _status(found: Reconstruction) -> list[str]:
    """Of each image, as the method says; `diverged` wherever the image is not finite."""
    finite = found.images.isfinite().flatten(1).all(1).tolist()
    said = found.status or ("ok",) * len(finite)
    return [state if good else "diverged" for state, good in zip(said, finite, strict=True)]


def _start(path: Path | None, device: torch.device) -> Reconstruction | None:
    if path is None:
        return None
    tensors, meta = load_tensors(path)
    moved = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Reconstruction(moved["images"], moved.get("latents"), moved.get("trace"), tuple(meta["status"]))


def _finished(device: torch.device) -> float:
    """The time at which everything queued on the device is done."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
    return time.perf_counter()
