"""What a lower precision of the networks costs: PSNR against float32, per method, on the images of a case.

    snakemake --cores 2 --config scale=small -- results/small/iagan/celeba-sr-x4/observation/0000-0007.safetensors ...
    python benchmarks/precision.py --scale small iagan/celeba-sr-x4 hybrid/faces-began-01000 ilo/sr-x8

It runs every method with steps of these cases from several random starts, in float32 and in the other precision from
the same starts. It needs the observations and weights of the cases. For each method it prints the mean PSNR, how much
of it is lost in the mean, how much on the image that loses most in the mean of its starts, and by how much any result
moves, up or down. Beside the loss stands how much the mean PSNR
differs between starts in float32: a loss that is smaller than that is not seen in a table.

`--precision rounding` is float32 again with observations that differ in their last digit, y (1 + 1e-7 n): what any
change of the order of sums may do to a result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from reprior.machine.files import load_arrays, load_tensors, save_tensors
from reprior.machine.memory import keep_freed_memory
from reprior.planning.plan import CasePlan, Plan, Start
from reprior.planning.resolve import make_plan
from reprior.stages.reconstruct import reconstruct

Runs = dict[str, dict[int, np.ndarray]]
"""PSNR [N] of the images, by method and start."""
ROUNDING = "rounding"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", help="STUDY/CASE")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--precision", default="bfloat16", choices=["tf32", "bfloat16", ROUNDING])
    parser.add_argument("--methods", nargs="+", help="only these (and name those from which they start)")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()
    plan = make_plan(Path(), {**yaml.safe_load(Path("config.yaml").read_text()), "scale": options.scale})
    print("| case | method | float32 [dB] | between starts | lost, mean | worst image | moved at most | time |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.cases:
        study, _, which = name.partition("/")
        case = plan.studies[study].cases[which]
        methods = [method for method in iterating(case) if not options.methods or method in options.methods]
        measured(plan, case, methods, options.precision, options.starts, options.device)


def measured(plan: Plan, case: CasePlan, methods: list[str], precision: str, starts: int, device: str) -> None:
    """Run the case in both precisions, and print a row for each method with steps."""
    exact: Runs = {}
    rounded: Runs = {}
    seconds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for start in range(starts):
            observations = [restarted(path, start, Path(folder, f"{start}-{path.name}")) for path in observed(case)]
            for kind, found in (("float32", exact), (precision, rounded)):
                if kind == ROUNDING:
                    observations = [nudged(path, start) for path in observations]
                for method in methods:
                    out = Path(folder, kind, str(start))
                    psnr, spent = solved(plan, case, method, observations, out, kind, device)
                    found.setdefault(method, {})[start] = psnr
                    seconds.setdefault(method, {}).setdefault(kind, 0.0)
                    seconds[method][kind] += spent
    for method in methods:
        print_row(case, method, exact[method], rounded[method], seconds[method][precision] / seconds[method]["float32"])


def print_row(
    case: CasePlan, method: str, exact: Mapping[int, np.ndarray], rounded: Mapping[int, np.ndarray], time: float
) -> None:
    """One row of the table."""
    lost = np.array([exact[start] - rounded[start] for start in exact])  # [starts, N]
    means = [float(psnr.mean()) for psnr in exact.values()]
    spread = max(means) - min(means)
    cells = (
        f"{statistics.mean(means):.2f}",
        f"{spread:.2f}",
        f"{lost.mean():+.3f}",
        f"{lost.mean(0).max():+.3f}",
        f"{np.abs(lost).max():.3f}",
        f"{time:.2f}",
    )
    print(f"| {case.study}/{case.name} | {method} | {' | '.join(cells)} |", flush=True)


def iterating(case: CasePlan) -> list[str]:
    """The methods with steps, each after those from which it starts."""
    ordered: list[str] = []
    while left := [name for name, cell in case.cells.items() if cell.iterates and name not in ordered]:
        ordered += [n for n in left if {start.method for start in case.cells[n].starts.values()} <= set(ordered)]
    return ordered


def observed(case: CasePlan) -> list[Path]:
    """The case's observations, which a run has made."""
    paths = [case.folder / "observation" / f"{batch}.safetensors" for batch in case.images.batches]
    if missing := [path for path in paths if not path.exists()]:
        raise SystemExit(f"{missing[0]} is missing: make it with `snakemake --cores 2 -- {' '.join(map(str, paths))}`")
    return paths


def restarted(observation: Path, start: int, copy: Path) -> Path:
    """The same observation under other image ids, so that all draws of a method are others."""
    tensors, meta = load_tensors(observation)
    save_tensors(copy, tensors, {**meta, "ids": [f"{image}, start {start}" for image in meta["ids"]]})
    return copy


def nudged(observation: Path, start: int) -> Path:
    """The same observation, with other last digits."""
    tensors, meta = load_tensors(observation)
    n = torch.randn(tensors["y"].shape, generator=torch.Generator().manual_seed(start))
    copy = observation.with_name(f"nudged-{observation.name}")
    save_tensors(copy, {**tensors, "y": tensors["y"] * (1 + 1e-7 * n)}, meta)
    return copy


def solved(
    plan: Plan, case: CasePlan, method: str, observations: list[Path], folder: Path, precision: str, device: str
) -> tuple[np.ndarray, float]:
    """Run a method on all batches: the PSNR [N] of its images, and its seconds."""
    cell = case.cells[method]
    networks = plan.trained(case, cell)
    errors, seconds = [], 0.0
    for batch, observation in zip(case.images.batches, observations, strict=True):
        out = folder / f"{method}-{batch}.safetensors"
        reconstruct(
            observation,
            {**cell.spec, "precision": "float32" if precision == ROUNDING else precision},
            out,
            label=method,
            generator=networks.get("generator"),
            networks={need: spec for need, spec in networks.items() if need != "generator"},
            starts={need: begun(start, folder, batch) for need, start in cell.starts.items()},
            marks=cell.marks,
            raw=plan.raw,
            device=device,
        )
        seconds += json.loads(out.with_suffix(".json").read_text())["seconds"]
        truth = load_arrays(case.images.folder / f"{batch}.safetensors")[0]["images"]
        images = load_arrays(out)[0]["images"].clip(0, 1)
        errors.append(np.square(images - truth).mean((1, 2, 3)))
    return -10 * np.log10(np.concatenate(errors)), seconds


def begun(start: Start, folder: Path, batch: str) -> dict[str, Any]:
    """What a method starts from, in this precision."""
    return {"file": str(folder / f"{start.method}-{batch}.safetensors"), "step": start.step}


if __name__ == "__main__":
    main()
