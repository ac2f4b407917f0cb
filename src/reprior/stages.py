"""One function a stage: it turns files into objects, calls the part that does the work, and writes files."""

from __future__ import annotations

import csv
import hashlib
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior import __version__
from reprior.datasets import load_dataset
from reprior.errors import UserError
from reprior.files import load_arrays, read_json, save_arrays, write_json, write_text, written_atomically
from reprior.plugins import load, plugin
from reprior.seeds import SHARED, rng_for

if TYPE_CHECKING:
    import numpy as np
    import torch

    from reprior.datasets.base import Dataset
    from reprior.methods.base import Reconstruction
    from reprior.operators.base import Operator


def prepare(selection: Mapping[str, Any], raw: Path, out: Path) -> None:
    """Make one batch of images."""
    dataset = load_dataset(selection["dataset"], raw)
    ids = selection.get("ids") or _chosen(dataset, selection)
    images = _shifted(dataset.load(ids), selection["shift"])
    steps = [*dataset.steps, *([f"move {selection['shift']} rows down"] if selection["shift"] else [])]
    save_arrays(out, {"images": images}, {"ids": list(ids), "steps": steps, "selection": dict(selection)})


def _chosen(dataset: Dataset, selection: Mapping[str, Any]) -> list[str]:
    """Ids by position in the data set's own order or, with a seed, in a random one."""
    first, count = selection["first"], selection["count"]
    return dataset.chosen(selection["seed"], first, count) if "seed" in selection else dataset.ids(first, count)


def _shifted(images: np.ndarray, rows: int) -> np.ndarray:
    """Images [N, 3, H, W] moved down by `rows` (up where negative), edge rows repeated."""
    import numpy as np

    height = images.shape[2]
    source = np.clip(np.arange(height) - rows, 0, height - 1)
    return images[:, :, source]


def make_operator(study: str, case: str, spec: Mapping[str, Any], image_shape: Sequence[int]) -> Operator:
    """The operator of a case: one for all its images, from the case's own seed."""
    settings = dict(spec)
    name = settings.pop("name")
    operator: Operator = load("operator", name)(
        tuple(image_shape), rng_for(study, case, SHARED, "operator"), **settings
    )
    return operator


def observe(images: Path, case: Mapping[str, Any], out: Path) -> None:
    """Measure one batch of images: y = A x + e."""
    import torch

    from reprior.files import load_tensors, save_tensors

    tensors, meta = load_tensors(images)
    x, ids = tensors["images"], meta["ids"]
    operator = make_operator(case["study"], case["case"], case["operator"], x.shape[1:])
    y = operator.A(x)
    rngs = (rng_for(case["study"], case["case"], image, "noise") for image in ids)
    y = y + case["noise"] * torch.stack([torch.randn(y.shape[1:], generator=rng) for rng in rngs])
    kept = {"y": y, "picture": operator.picture(y), "mask": getattr(operator, "mask", None)}
    save_tensors(
        out,
        {name: tensor for name, tensor in kept.items() if tensor is not None},
        {**case, "ids": ids, "image_shape": list(x.shape[1:])},
    )


def reconstruct(
    observation: Path,
    method: Mapping[str, Any],
    out: Path,
    *,
    label: str,
    generator: Mapping[str, Any] | None = None,
    start: Path | None = None,
    device: str = "auto",
    checkpoint_seconds: float = 60,
) -> None:
    """Run one method on one batch; writes `out` and, beside it, a .json that says how it came about."""
    import torch

    from reprior.files import load_tensors, save_tensors
    from reprior.methods.base import Problem, solve
    from reprior.watch import Watch

    where = torch.device(chosen_device(device))
    tensors, meta = load_tensors(observation)
    operator = make_operator(meta["study"], meta["case"], meta["operator"], meta["image_shape"])
    inputs = [path for path in (observation, start, generator and Path(generator["weights"])) if path]
    watch = Watch(
        label=f"{meta['case']}/{label}",
        checkpoint=out.with_name(f".{out.stem}.checkpoint"),
        every_seconds=checkpoint_seconds,
        fingerprint=_fingerprint(inputs, method, generator),
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
    given = {"generator": _generator(generator, where), "start": _start(start, where)}
    needs = [given[need] for need in plugin("method", name).needs if need != "problem"]
    with watch.catching_signals():
        began = time.perf_counter()
        found = solve(load("method", name), problem, *needs, **settings)
        seconds = _finished(where) - began
    status = found.status or ("ok",) * len(problem)
    kept = {"images": found.images, "latents": found.latents, "trace": found.trace}
    origin = {"study": meta["study"], "case": meta["case"], "method": label, "ids": meta["ids"], "status": list(status)}
    save_tensors(out, {key: tensor for key, tensor in kept.items() if tensor is not None}, origin)
    asked = {"plugin": name, "settings": settings, "generator": generator, "start": str(start) if start else None}
    solved = {"operator": meta["operator"], "noise": meta["noise"]}
    spent = {"seconds": seconds, "seconds_per_image": seconds / len(problem)}
    write_json(out.with_suffix(".json"), origin | asked | solved | spent | _circumstances(where))
    watch.done()


def _circumstances(device: torch.device) -> dict[str, Any]:
    """On what and by which command a job was run."""
    import torch

    return {
        "peak_memory_mib": _peak_memory_mib(device),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "command": shlex.join(["python", "-m", "reprior", *sys.argv[1:]]),
        "versions": {"reprior": __version__, "torch": torch.__version__, "python": sys.version.split()[0]},
    }


def chosen_device(device: str) -> str:
    """`auto` is CUDA where there is one, else Apple's MPS, else the CPU."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _fingerprint(inputs: Iterable[Path], *settings: Any) -> str:
    """Tells one job from another: a checkpoint of other settings or inputs must not be continued."""
    digest = hashlib.sha256(repr(settings).encode())
    for path in inputs:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _generator(spec: Mapping[str, Any] | None, device: torch.device) -> torch.nn.Module | None:
    if spec is None:
        return None
    import torch

    from reprior.generators.base import load_generator

    architecture = {key: value for key, value in spec.items() if key != "weights"}
    return load_generator(architecture, Path(spec["weights"]), device, torch.float32)


def _start(path: Path | None, device: torch.device) -> Reconstruction | None:
    if path is None:
        return None
    from reprior.files import load_tensors
    from reprior.methods.base import Reconstruction

    tensors, meta = load_tensors(path)
    moved = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Reconstruction(moved["images"], moved.get("latents"), moved.get("trace"), tuple(meta["status"]))


def _finished(device: torch.device) -> float:
    """The time at which everything queued on the device is done."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_memory_mib(device: torch.device) -> float:
    """Peak memory: the device's where there is one, else the process's."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _device_name(device: torch.device) -> str:
    import platform

    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def evaluate(estimate: Path, images: Path, metrics: Sequence[Mapping[str, Any]], raw: Path, out: Path) -> None:
    """Compare one batch of reconstructions with the truth; its run time and memory are numbers of each image, too."""
    from reprior.metrics.evaluation import evaluate as measured

    found, meta = load_arrays(estimate)
    truth, _ = load_arrays(images)
    job = read_json(estimate.with_suffix(".json"))
    ids = meta["ids"]
    columns = measured(found["images"], truth["images"], metrics, raw)
    values = {name: column.tolist() for name, column in columns.items()}
    values["seconds"] = [job["seconds_per_image"]] * len(ids)
    values["memory_mib"] = [job["peak_memory_mib"]] * len(ids)
    origin = (meta["study"], meta["case"], meta["method"])
    with written_atomically(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("study", "case", "method", "image", "metric", "value"))
        for row, image in enumerate(ids):
            writer.writerows((*origin, image, name, f"{column[row]:.10g}") for name, column in values.items())


def convert(checkpoint: Path, generator: Mapping[str, Any], layout: str, out: Path) -> None:
    """Turn a published checkpoint into weights of one of our generators; what does not fit is told and not written."""
    from reprior.acquire.checkpoints import read_checkpoint
    from reprior.files import save_tensors
    from reprior.generators.base import build_generator, check_fit

    network = build_generator(generator)
    held = read_checkpoint(checkpoint)
    try:
        state = network.converted(held, layout)
    except UserError as error:  # which knows names of tensors, not of files
        raise UserError(f"{checkpoint}: {error}") from error
    check_fit(network.state_dict(), state, checkpoint)
    save_tensors(out, state, {"generator": dict(generator), "source": checkpoint.name, "layout": layout})


def aggregate(parts: Sequence[Path], out: Path) -> None:
    """Join tables of numbers that share one heading, in the order given."""
    tables = [part.read_text(encoding="utf-8").splitlines() for part in parts]
    write_text(out, "\n".join([tables[0][0], *(row for table in tables for row in table[1:])]) + "\n")
