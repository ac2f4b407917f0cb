"""Rows for benchmarks/step_times.csv, from which `reprior plan` estimates hours."""

from __future__ import annotations

import contextlib
import csv
import datetime
import gc
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import measure_steps
from gpu_check.parts import Check, described
from in_loop import Timed
from reprior.machine.facts import peak_memory_mib
from reprior.networks import lpips

COLUMNS = (
    *("device", "threads", "stage", "method", "generator", "size", "operator"),
    *("images", "seconds", "start_seconds", "peak_mib", "bytes", "date", "torch"),
)
PIXELS = 2 * 2**20
"""Of a measured batch: two images of 1024 x 1024 keep a GPU as busy as ten, and take a fifth of the time."""
_VGG = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
"""Channels of VGG-16's convolutions."""


@dataclass(frozen=True)
class Kind:
    """A kind of work, as `measure_steps.py --list` wrote it."""

    method: str
    generator: str
    operator: str
    """The texts of the table."""
    work: Any
    """What `measure_steps.reconstruction` needs."""
    images: int
    image_steps: int
    """Images x steps of the full scale."""

    @property
    def cost(self) -> int:
        """What it costs the full scale, roughly."""
        return self.image_steps * self.work.size**2

    @property
    def key(self) -> tuple[str, ...]:
        """What the rows of the table are found by."""
        return self.method, self.generator, str(self.work.size), self.operator

    @property
    def name(self) -> str:
        """For reports."""
        names = [text.split(" ")[0] for text in (self.method, self.generator, self.operator) if text]
        return f"{' '.join(names)} {self.work.size} px"


def check(check: Check) -> None:
    """Measure kinds of work while there is time: those that the table lacks first, the most expensive of them first."""
    folder = check.settings.root / "benchmarks"
    known = in_table(folder / "step_times.csv", measure_steps.device_name(check.settings.device))
    kinds = sorted(read_kinds(folder / "full_scale_kinds.json"), key=lambda kind: (kind.key in known, -kind.cost))
    if check.quick:
        kinds = small(kinds)
    path, errors, left = check.settings.out / "step_times.csv", dict[str, list[str]](), list[str]()
    loading = check.settings.loading + started(check.device)
    rows: list[dict[str, Any]] = []
    with made_up_vgg():
        for kind in kinds:
            if check.left <= 0:
                left.append(" | ".join((kind.method, kind.generator, kind.operator)))
                continue
            try:
                rows.append(measured(kind, check, loading))
            except Exception as error:
                errors.setdefault(described(error), []).append(kind.name)
            else:
                write_rows(path, rows)
                check.say(f"{kind.name}: {rows[-1]['seconds']:.4g} s per image and step")
            gc.collect()
            torch.cuda.empty_cache()
    for why, names in errors.items():
        check.failed(f"{len(names)} kinds of work, such as {names[0]}", why, kinds=names)
    report(check, kinds, rows, left, path)


def report(check: Check, kinds: list[Kind], rows: list[dict[str, Any]], left: list[str], path: Path) -> None:
    """How many kinds were measured, and what to do with the rows."""
    hours = sum(
        row["seconds"] * kind.image_steps
        for row in rows
        for kind in kinds
        if (row["method"], row["generator"], str(row["size"]), row["operator"]) == kind.key
    )
    text = f"{len(rows)} of {len(kinds)} kinds of work, which take {hours / 3600:.4g} hours at full scale"
    check.judged("rows", text, "some", bool(rows), rows=rows)
    if left:
        check.skipped("rows", f"for time: {len(left)} kinds of work (the JSON lists them)")
        (path.parent / "kinds-left.txt").write_text("\n".join(left) + "\n")
    if rows:
        check.measured("to take them into the table", f"python benchmarks/measure_steps.py --add {path}")


def read_kinds(path: Path) -> Iterator[Kind]:
    """The kinds of work in a file that `measure_steps.py --list` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    methods, generators, operators = (content["specs"][name] for name in ("method", "generator", "operator"))
    for method, generator, operator, size, channels, images, image_steps in content["kinds"]:
        texts = methods[method][0], generators[generator][0], operators[operator][0]
        specs = {"method": methods[method][1], "operator": operators[operator][1], **generators[generator][1]}
        yield Kind(*texts, SimpleNamespace(size=size, channels=channels, **specs), images, image_steps)


def in_table(path: Path, device: str) -> set[tuple[str, ...]]:
    """The keys of the kinds of work that the table has for a device."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["device"] == device and row["stage"] == "reconstruct"]
    return {(row["method"], row["generator"], row["size"], row["operator"]) for row in rows}


def small(kinds: list[Kind]) -> list[Kind]:
    """One kind of each of a few methods, on the smallest images."""
    least = min(kind.work.size for kind in kinds)
    found = {kind.work.method["name"]: kind for kind in kinds if kind.work.size == least}
    return [found[name] for name in ("csgm", "npgd")]


def started(device: torch.device) -> float:
    """Seconds that the first use of the device takes in a process."""
    began = time.perf_counter()
    torch.ones(1, device=device).sum().item()
    return time.perf_counter() - began


def measured(kind: Kind, check: Check, loading: float) -> dict[str, Any]:
    """The row of a kind. All kinds share a process, so what imports took in it is added to the start of each."""
    device = check.device
    images = 1 if check.quick else max(1, min(kind.images, PIXELS // kind.work.size**2))
    if "matrix" in (kind.work.operator or {}):
        measure_steps.random_matrix(kind.work.channels * kind.work.size**2)  # once, with all threads
    if check.cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with one_thread():
        clock = measure_steps.Clock(device, 0, time.time())
        watch = Timed(device=device)
        run = measure_steps.reconstruction(kind.work, images, device, str(check.settings.root / "data/raw"), watch)
        numbers = measure_steps.timed(run, images, clock, 0.01 if check.quick else 0.5, watch)
    numbers["start_seconds"] = float(f"{numbers['start_seconds'] + loading:.4g}")
    return {
        "device": measure_steps.device_name(check.settings.device),
        "threads": 1,
        "stage": "reconstruct",
        "method": kind.method,
        "generator": kind.generator,
        "size": kind.work.size,
        "operator": kind.operator,
        **numbers,
        "peak_mib": round(peak_memory_mib(), 1),
        "bytes": 0,
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
    }


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block, the CPU computes with one thread, as the workflow's jobs do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def made_up_vgg() -> Iterator[None]:
    """Inside the block, LPIPS has random weights, which take the same time and need no download."""
    read = lpips._weights
    lpips._weights = partial(_random_vgg, {})  # type: ignore[assignment]
    try:
        yield
    finally:
        lpips._weights = read


def _random_vgg(known: dict[str, Any], net: str, path: Path) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
    if net != "vgg":
        raise ValueError(f"no made-up weights for LPIPS with {net}")
    if not known:
        rng = torch.Generator().manual_seed(0)
        layers = [layer for stage in lpips.LAYERS["vgg"] for layer in stage.split() if layer != "pool"]
        before = 3
        backbone: dict[str, Tensor] = {}
        for layer, channels in zip(layers, _VGG, strict=True):
            scale = (2 / (9 * before)) ** 0.5  # keeps the deviation of what passes through
            backbone[f"{layer}.weight"] = torch.randn(channels, before, 3, 3, generator=rng) * scale
            backbone[f"{layer}.bias"] = torch.zeros(channels)
            before = channels
        widths = (64, 128, 256, 512, 512)
        heads = {f"lin{i}.model.1.weight": torch.full((1, c, 1, 1), 1 / c) for i, c in enumerate(widths)}
        known.update(backbone=backbone, heads=heads)
    return known["backbone"], known["heads"]
