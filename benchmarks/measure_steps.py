"""Measures seconds per image and step for every kind of work in a plan, on this machine.

    python benchmarks/measure_steps.py --config scale=full --device auto

The results are the rows of benchmarks/step_times.csv, which `reprior plan` reads. Each kind runs in its own process, as
the jobs do, on random images. Generators have untrained weights, so no download is needed except LPIPS's. The batch is
the plan's; it is halved until it fits into memory. Kinds that the table already has for this device are skipped, unless
`--again` is given. Each row is written as soon as it is measured.

    python benchmarks/measure_steps.py --add results/gpu-check/step_times.csv
    python benchmarks/measure_steps.py --config scale=full --list benchmarks/full_scale_kinds.json

`make gpu-check` measures, too, on machines where a plan cannot be made. `--add` takes its rows into the table, and
`--list` writes the kinds of work that it measures.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported in functions below, since `make gpu-check` has no pydantic
    from in_loop import Timed
    from reprior.optimise.watch import Watch
    from reprior.planning.plan import Plan
    from reprior.planning.step_times import Work

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "benchmarks/step_times.csv"
Run = Callable[[int, int], object]
"""(images, steps): does the work that is timed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for `reprior plan`")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU; the workflow's jobs have one")
    parser.add_argument("--only", default="", metavar="TEXT", help="only kinds whose description contains this text")
    parser.add_argument("--again", action="store_true", help="also measure what the table already has for this device")
    parser.add_argument("--images", type=int, help="at most this number in a batch")
    parser.add_argument("--memory", type=float, metavar="GIB", help="limit of the memory of each process")
    parser.add_argument("--seconds", type=float, default=1.0, help="minimum time for the steps of each kind")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--list", type=Path, metavar="FILE", help="only write which kinds of work reconstruct, as JSON")
    parser.add_argument("--add", type=Path, metavar="FILE", help="only take the rows of another table into the table")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        print(json.dumps(globals()[options.job.pop("call")](**options.job)))
    elif options.add is not None:
        add(options.add, options.table)
    elif options.list is not None:
        options.list.write_text(as_text(listed(planned(options.config))))
    else:
        measure_all(options)


def planned(config: list[str]) -> Plan:
    """The plan of this checkout."""
    from reprior.planning.resolve import make_plan
    from reprior.planning.yaml_files import read_config

    return make_plan(ROOT, read_config(ROOT, config))


def add(path: Path, table: Path) -> None:
    """Take the rows of `path` into the table. They replace rows of the same work and device."""
    from reprior.planning.step_times import read_rows, write_rows

    rows = read_rows(path)
    if not rows:
        raise SystemExit(f"{path}: no rows there")
    write_rows(table, [*read_rows(table), *rows])
    print(f"{table}: {len(rows)} rows added")


def listed(plan: Plan) -> dict[str, Any]:
    """Every kind of work that reconstructs, and its specs by the text that the table has for them.

    `kinds` are lists: positions of method, generator and operator in `specs`, size, channels, images of the largest
    batch, and images x steps in the whole plan.
    """
    from reprior.planning.step_times import tasks

    specs: dict[str, dict[str, Any]] = {"method": {}, "generator": {}, "operator": {}}
    kinds: dict[tuple[int, ...], list[int]] = {}
    for task in tasks(plan):
        if task.work.stage != "reconstruct":
            continue
        work, key = task.work, task.work.key
        specs["method"].setdefault(key.method, work.method)
        specs["generator"].setdefault(key.generator, {"generator": work.generator, "networks": dict(work.networks)})
        specs["operator"].setdefault(key.operator, work.operator)
        places = (list(specs[name]).index(getattr(key, name)) for name in specs)
        counts = kinds.setdefault((*places, work.size, work.channels), [0, 0])
        counts[0] = max(counts[0], *task.batches)
        counts[1] += task.images * task.steps
    return {
        "specs": {name: [list(pair) for pair in found.items()] for name, found in specs.items()},
        "kinds": [[*kind, *counts] for kind, counts in kinds.items()],
    }


def as_text(content: dict[str, Any]) -> str:
    """JSON with one kind of work, or one spec, per line."""

    def lines(values: Iterable[Any]) -> str:
        return "[\n" + ",\n".join(map(json.dumps, values)) + "\n]"

    specs = ",\n".join(f"{json.dumps(name)}: {lines(found)}" for name, found in content["specs"].items())
    return f'{{"specs": {{\n{specs}\n}},\n"kinds": {lines(content["kinds"])}}}\n'


def measure_all(options: argparse.Namespace) -> None:
    """Measure every requested kind of work of the plan, each in its own process."""
    from reprior.planning.step_times import Row, read_rows, write_rows

    plan = planned(options.config)
    devices = {"reconstruct": in_process({"call": "device_name", "device": options.device}, options.threads)}
    wanted = kinds(plan, options.only)
    for number, (work, images) in enumerate(wanted, 1):
        rows = read_rows(options.table)
        device = devices.get(work.stage) or device_name("cpu")
        known = any((row.device, row.threads, row.key) == (device, options.threads, work.key) for row in rows)
        print(
            f"[{number}/{len(wanted)}] {device} | {' | '.join(map(str, filter(None, work.key)))}", end=": ", flush=True
        )
        if known and not options.again:
            print("known")
            continue
        try:
            numbers = in_process(job(work, images, plan, options), options.threads)
        except RuntimeError as error:
            print(f"NOT MEASURED: {error}")
            continue
        today = datetime.date.today().isoformat()
        row = Row(**work.key._asdict(), device=device, threads=options.threads, date=today, **numbers)
        write_rows(options.table, [*read_rows(options.table), row])
        print(f"{row.seconds:.4g} s per image and step, {row.start_seconds:.3g} s per job, {row.peak_mib:.0f} MiB")


def job(work: Work, images: int, plan: Plan, options: argparse.Namespace) -> dict[str, Any]:
    """The call for the process that measures."""
    return {
        "call": "measured",
        "work": dataclasses.asdict(work),
        "images": min(images, options.images or images),
        "device": options.device if work.stage == "reconstruct" else "cpu",
        "threads": options.threads,
        "target": options.seconds,
        "memory": options.memory,
        "raw": str(ROOT / plan.raw),
        "began": time.time(),
    }


def kinds(plan: Plan, only: str) -> list[tuple[Work, int]]:
    """Each kind of work once, with its largest batch in the plan."""
    from reprior.planning.step_times import tasks

    found: dict[Any, tuple[Work, int]] = {}
    for task in tasks(plan):
        key, images = task.work.key, max(task.batches)
        if only in " ".join(map(str, filter(None, key))) and images > found.get(key, (None, 0))[1]:
            found[key] = (task.work, images)
    return list(found.values())


def in_process(call: dict[str, Any], threads: int) -> Any:
    """Call a function of this file in a new process; return its result."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--job", json.dumps(call)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"ended by signal {-done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(
    work: dict[str, Any],
    images: int,
    device: str,
    threads: int,
    target: float,
    memory: float | None,
    raw: str,
    began: float,
) -> dict[str, Any]:
    """The numbers of one row, measured in this process, which has done nothing else before."""
    import torch

    from in_loop import Timed
    from reprior.machine.devices import chosen_device
    from reprior.machine.facts import peak_memory_mib
    from reprior.machine.memory import keep_freed_memory
    from reprior.planning.step_times import Work

    if memory is not None:
        limit_memory(memory)
    keep_freed_memory()
    torch.set_num_threads(threads)
    what, where = Work(**work), torch.device(chosen_device(device))
    clock = Clock(where, threads, began)
    if what.stage == "observe":
        numbers = {"bytes": observed(what, images) // images, "images": images, "seconds": 0.0}
        numbers["start_seconds"] = _digits(clock.now())
    else:
        watch = Timed(device=where)
        if what.stage == "reconstruct":
            run = reconstruction(what, images, where, raw, watch)
        else:
            run = evaluation(what, images, raw)
        numbers = {"bytes": 0, **timed(run, images, clock, target, watch)}
    return {**numbers, "peak_mib": round(peak_memory_mib(), 1), "torch": torch.__version__}


def timed(run: Run, images: int, clock: Clock, target: float, watch: Timed | None = None) -> dict[str, Any]:
    """Seconds per step. The extra time of the very first run is the start.

    From runs of one step and of more. On CUDA, from inside the loop if the work has one: `watch` is its watch.
    """
    lost = 0.0
    while True:
        tried = clock.now()
        try:
            run(images, 1)
            first = clock.now()
            work = partial(run, images)
            step = from_inside(work, watch, target) or from_two_runs(work, clock, target)
            start = max(first - lost - step, 0.0)
            return {"images": images, "seconds": _digits(step / images), "start_seconds": _digits(start)}
        except (RuntimeError, MemoryError) as error:  # on a CPU, torch has no special class for lack of memory
            if images == 1 or "memory" not in str(error):
                raise
        images = (images + 1) // 2
        clock.forget_peak()
        lost += clock.now() - tried


def from_inside(run: Callable[[int], object], watch: Timed | None, target: float) -> float:
    """Seconds of a step on CUDA; 0 elsewhere, and for work without the loop."""
    if watch is None or watch.device.type != "cuda":
        return 0.0
    from in_loop import seconds_in_loop

    return seconds_in_loop(run, watch, target)


def from_two_runs(run: Callable[[int], object], clock: Clock, target: float) -> float:
    """Seconds of a step, from runs of one step and of more."""
    began = clock.now()
    run(1)
    short = clock.now() - began
    more = min(max(2, round(target / max(short, 1e-3))), 200)
    run(1 + more)
    return max(clock.now() - began - 2 * short, 0.0) / more


class Clock:
    """Seconds since this process started. On one CPU thread: processor time, which other load does not affect."""

    def __init__(self, device: Any, threads: int, began: float) -> None:
        self.device, self.alone, self.began = device, device.type == "cpu" and threads == 1, began

    def now(self) -> float:
        """The time when all work queued on the device is done."""
        import torch

        if self.device.type in ("cuda", "mps"):
            getattr(torch, self.device.type).synchronize()
        return time.process_time() if self.alone else time.time() - self.began

    def forget_peak(self) -> None:
        """Reset the peak memory after an attempt that ran out of memory."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def reconstruction(work: Work, images: int, device: Any, raw: str, watch: Watch) -> Run:
    """A method on random images. A method without steps runs once per step."""
    import torch

    from reprior.loading import load, needs
    from reprior.losses import DEFAULT
    from reprior.methods.base import Problem, Reconstruction, solve
    from reprior.networks.trained import built, frozen
    from reprior.operators import make_operator

    settings = dict(work.method)
    precision = settings.pop("precision", "float32")
    ready = partial(frozen, device=device, precision=precision)
    generator: Any = ready(built("generator", work.generator)) if work.generator else None
    networks = {need: ready(built("network", spec)) for need, spec in work.networks.items()}
    shape = (work.channels, work.size, work.size)
    operator = make_operator("bench", "bench", with_matrix(work), shape).to(device, torch.float32)
    truth = torch.rand(images, *shape, device=device)
    ids = tuple(map(str, range(images)))
    name, losses, sna = settings.pop("name"), settings.pop("loss", DEFAULT), settings.pop("sna", False)
    asked = {"losses": losses, "sna": sna, "noise": 0.1, "raw": Path(raw), "precision": precision, "watch": watch}
    problem = Problem(operator.A(truth), operator, "bench", "bench", ids, **asked)
    latents = problem.draw("start", generator.draw_latent) if generator else None
    state = {} if latents is None else {"variables.z": latents}
    start = Reconstruction(torch.rand_like(truth), latents, status=("ok",) * images, state=state)
    method = load("method", name)
    starts = {need: start for need in needs(method) if need not in ("problem", "generator", *networks)}
    if "decoder" in starts and generator is not None:
        starts["decoder"] = decoder_start(problem, generator, settings)

    def run(images: int, steps: int) -> None:
        rows = slice(0, images)
        begun = {need: each[rows] for need, each in starts.items()}
        given = {"generator": generator, **networks, **begun}
        changed = [settings | {"steps": steps}] if "steps" in settings else [settings] * steps
        for each in changed:
            solve(method, problem[rows], *(given[need] for need in needs(method) if need != "problem"), **each)

    return run


def with_matrix(work: Work) -> dict[str, Any]:
    """The operator of the work. If it needs a designed matrix, with a file of random orthonormal rows."""
    operator = dict(work.operator or {})
    if "matrix" in operator:
        operator["matrix"] = str(random_matrix(work.channels * work.size**2))
    return operator


@lru_cache
def random_matrix(n: int) -> Path:
    """A file of random orthonormal rows of n values, made once in a process."""
    import torch

    from reprior.machine.files import save_tensors
    from reprior.operators.designed import MOST

    rows = torch.linalg.qr(torch.randn(n, min(n, MOST)))[0].T
    path = Path(tempfile.mkdtemp(prefix="reprior-"), "matrix.safetensors")
    save_tensors(path, {"rows": rows.contiguous()})
    return path


def decoder_start(problem: Any, generator: Any, settings: Mapping[str, Any]) -> Any:
    """The first state of a Deep Decoder as wide as the hybrid's."""
    from dataclasses import replace

    from reprior.methods.deep_decoder import deep_decoder
    from reprior.optimise.watch import Watch

    problem = replace(problem, watch=Watch(marks=(0,)))
    alike = {key: settings[key] for key in ("channels", "form")}
    found = deep_decoder(problem, steps=1, beside=generator.latent_shape[0], **alike)
    return replace(found, state={key.removeprefix("0."): tensor for key, tensor in problem.watch.marked.items()})


def evaluation(work: Work, images: int, raw: str) -> Run:
    """The metrics of random images, once per step."""
    import numpy as np

    from reprior.metrics.evaluation import evaluate

    rng = np.random.default_rng(0)
    estimate, truth = (rng.random((images, work.channels, work.size, work.size), np.float32) for _ in range(2))

    def run(images: int, steps: int) -> None:
        for _ in range(steps):
            evaluate(estimate[:images], truth[:images], work.metrics, Path(raw))

    return run


def observed(work: Work, images: int) -> int:
    """Run a whole observe job on random images; return the bytes that it writes."""
    import numpy as np

    from reprior.machine.files import save_arrays
    from reprior.stages.observe import observe

    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "images.safetensors"), Path(folder, "y.safetensors")
        truth = np.random.default_rng(0).random((images, work.channels, work.size, work.size), np.float32)
        save_arrays(path, {"images": truth}, {"ids": list(map(str, range(images)))})
        observe(path, {"study": "bench", "case": "bench", "operator": with_matrix(work), "noise": 0.1}, out)
        return out.stat().st_size


def limit_memory(gib: float) -> None:
    """Limit the memory of this process: the machine may be shared."""
    import resource

    most = int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def device_name(device: str) -> str:
    """The processor's or the GPU's own name."""
    if device != "cpu":
        import torch

        from reprior.machine.devices import chosen_device

        device = chosen_device(device)
        if device == "cuda":
            return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{device} ({model or platform.processor() or platform.machine()})"


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
