"""How near each method is to what this machine can do at most. Writes the table of docs/benchmarks.md.

    python benchmarks/limits.py --threads 1 --sizes 64 128 --print
    python benchmarks/limits.py --threads 1 --write

- **Operations**: floating-point operations of the matrix products and convolutions, those of A included, in one step on
  one image: the loss, and its gradient for what is optimised alone. Counted on the plain form (`workloads.py`), so they
  do not depend on how our code computes.
- **Bytes**: the least that a step on one image must move. Each optimised value, its gradient and Adam's two moments are
  read and written once. Each tensor that the plain form saves for its gradient is written once and read once. Weights
  and matrices that the images of a batch share are read once for all of them.
- **Time they allow**: operations / rate of a matrix product, or bytes / rate of a copy, whichever is longer, since a
  machine can do both at once. Both rates are medians of the same run.
- **Our time**: (t(few + steps) - t(few)) / steps, so that neither the start nor the end of a method counts. The plain
  form is measured in the same way, in a process of its own, since our jobs keep freed memory and others do not.

Where our code needs fewer operations or saves less than the plain form, the share may exceed 100 %.

Every number is the median of rounds, in which both forms of a workload and both rates are measured by turns. A workload
ends before its last round if it has had one round and more than `--minutes`. With `--keep FILE`, a run that was broken
off goes on with the rows that it lacks; remove the file when the code has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from measure_steps import device_name
from reprior.machine.memory import keep_freed_memory
from reprior.networks import doubling
from workloads import BATCH, WORKLOADS, Round, Workload, selected

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- limits: begin -->", "<!-- limits: end -->"
MATRIX = 2048
"""Side of the matrices of the measured product."""
COPIED = 2**30
"""Bytes of the measured copy: more than caches hold."""
WORK, MOST_STEPS = 100e9, 8
"""Each measured time is of so many operations in all, but of one step at least and of eight at most."""
ENOUGH = 0.5
"""The share of the limit below which a row needs a sentence."""
COLUMNS = (
    "method",
    "size",
    "network",
    "images",
    "GFLOP",
    "MB",
    "time they allow [ms]",
    "our time [ms]",
    "share",
    "faster than plain",
)
DEFINITIONS = """\
Each row is one step on one image in a batch of so many *images*, with random weights (`benchmarks/limits.py`).

- *GFLOP*: operations of the matrix products and convolutions that the method needs, counted on its plain form.
- *MB*: the least that must move. Optimised values, gradients and Adam's moments are read and written once; what the
  plain form saves for the gradient is written once and read once; weights that a batch shares are read once for all.
- *Time they allow*: operations / rate of a matrix product, or bytes / rate of a copy, whichever is longer.
- *Share*: the time they allow / our time. It may exceed 100% where our code needs less than the plain form.
- *Plain*: one image at a time, gradients for all weights, default memory format, default `torch.optim.Adam`, freed
  memory given back.
"""

_A_TWICE = "A is larger than a cache, and a step reads it twice (A x and its gradient). The limit counts one reading"
_STYLED = (
    "57% of the time are convolutions of narrow layers, which run slower than a large matrix product. A quarter are "
    "passes over images: styles, noise, bias, LeakyReLU."
)
WHY: Mapping[str | tuple[str, int], str] = {
    "deep-decoder": f"{_A_TWICE}. At 64 pixels the two products take two thirds of the time.",
    ("deep-decoder", 256): "Few operations per value of a feature map: ReLU and its gradient take 46% of the time.",
    ("deep-decoder", 1024): "Few operations per value of a feature map: ReLU and its gradient take half of the time, "
    "doubling 28%. Maps of 0.9 GB are too large to be kept, so each new one costs page faults.",
    "hybrid": f"{_A_TWICE}. At 64 pixels the two products take a quarter of the time, DCGAN's convolutions half.",
    ("gan-as-dip", 64): "Each image has 3.6 million weights of its own. Convolutions take 57% of the time, copies and "
    "joins of tensors 17%, Adam 12%, A 7%.",
    ("npgd", 64): "95% of the time are convolutions, two thirds of it layers at 4 x 4 and 8 x 8 pixels, whose many "
    "weights serve few pixels. One of them reads 67 MB for 8 images and takes a quarter.",
    ("pgd-gan", 64): "92% of the time are convolutions. Layers at 4 x 4 and 8 x 8 pixels have many weights for few "
    "pixels.",
    ("pulse", 64): _STYLED,
    ("ilo", 64): _STYLED,
    ("dip", 64): "No operation takes more than a sixth of the time. Convolutions and matrix products take about half. "
    "The rest is copies, normalisation, joins of tensors, Adam and LeakyReLU.",
}
"""Why a method, or a method at one size, is below half of its limit."""


@dataclass(frozen=True)
class Cost:
    """What one step on one image takes."""

    operations: float
    moved: float
    """Bytes."""


@dataclass(frozen=True)
class Times:
    """Median seconds of one step on one image."""

    ours: float
    plain: float
    rounds: int


@dataclass(frozen=True)
class Rates:
    """What the machine can do in a second."""

    operations: float
    moved: float
    """Bytes."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    workload: Workload
    cost: Cost
    times: Times

    def allowed(self, rates: Rates) -> float:
        """Seconds of one step on one image at the limit."""
        return max(self.cost.operations / rates.operations, self.cost.moved / rates.moved)

    def share(self, rates: Rates) -> float:
        """The share of the limit."""
        return self.allowed(rates) / self.times.ours

    @property
    def why(self) -> str | None:
        """The sentence that says why it is far from its limit."""
        return WHY.get((self.workload.method, self.workload.size)) or WHY.get(self.workload.method)


def main() -> int:
    """Measure, print or write; 1 if a row has to be explained and is not."""
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    rows, kept = [], Kept(options.keep)
    with PlainWay(options.device) as plain:
        keep_freed_memory()  # as jobs do
        clock = Clock(options.device)
        clock.times += kept.rates
        for workload in selected(options.methods, options.sizes):
            cost = counted(workload)
            times = kept.times.get(workload.name)
            if times is None:
                steps = steps_of(workload, cost)
                times = measured(workload, clock, plain, steps, options.repeats, options.minutes)
                print(f"{workload.name}: {times}", file=sys.stderr, flush=True)
                kept.add(workload, times, clock.times)
            rows.append(Row(workload, cost, times))
    rates = clock.rates()
    text = report(rows, rates, machine_line(options.device, rates))
    if options.print or not options.write:
        print(text)
    unexplained = [row for row in rows if row.share(rates) < ENOUGH and row.why is None]
    for row in unexplained:
        print(f"{row.workload.name}: {row.share(rates):.0%} of its limit, and WHY has no sentence", file=sys.stderr)
    if unexplained:
        return 1
    if options.write:
        DOCUMENT.write_text(replaced(DOCUMENT.read_text(), text))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=[], choices=sorted({each.method for each in WORKLOADS}))
    parser.add_argument("--sizes", nargs="+", type=int, default=[], choices=sorted(BATCH))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; its default if not given")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--minutes", type=float, default=5.0, help="after which a workload has no more rounds")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where what has been measured is kept")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    parser.add_argument("--print", action="store_true", help="the table; this is the default")
    return parser.parse_args()


def counted(workload: Workload) -> Cost:
    """The mean over the rounds of a method. Nothing is computed: tensors on the device `meta` have only shapes."""
    with plainly_doubled():
        costs = [_counted(each, workload.images) for each in workload.ready("meta", 1).rounds()]
    return Cost(*(statistics.mean(getattr(cost, name) for cost in costs) for name in ("operations", "moved")))


@contextlib.contextmanager
def plainly_doubled() -> Iterator[None]:
    """Inside the block, frozen convolutions of doubled images are as in the plain form, with all 9 products."""

    def plain(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        return functional.conv2d(functional.interpolate(x, scale_factor=2, mode="nearest"), kernel, bias, padding=1)

    with patch.multiple(doubling, doubling=plain, summed=lambda weight: weight):
        yield


def _counted(each: Round, images: int) -> Cost:
    for weight in each.fixed:
        weight.requires_grad_(False)
    known = {_storage(tensor) for tensor in (*each.variables, *each.fixed)}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[_storage(tensor)] = tensor
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = each.loss(0)
        if each.variables:
            loss.backward(inputs=each.variables)
    moved = 4 * 2 * _bytes(each.variables) + _bytes(each.fixed) / images
    moved += 2 * sum(tensor.untyped_storage().nbytes() for key, tensor in saved.items() if key not in known)
    return Cost(counter.get_total_flops(), moved)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Kept:
    """What a run that was broken off had measured, in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        content = json.loads(path.read_text()) if path is not None and path.is_file() else {"rows": {}, "rates": []}
        self.times = {name: Times(*values) for name, values in content["rows"].items()}
        self.rates = [tuple(pair) for pair in content["rates"]]

    def add(self, workload: Workload, times: Times, rates: Sequence[tuple[float, ...]]) -> None:
        """One more row, and all measured times of the rates."""
        self.times[workload.name] = times
        if self.path is not None:
            rows = {name: astuple(each) for name, each in self.times.items()}
            self.path.write_text(json.dumps({"rows": rows, "rates": rates}, indent=1) + "\n")


class Stopwatch:
    """Measures seconds."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.few = 6 if device.startswith("cuda") else 1  # CUDA records a step as a graph after the first ones

    def seconds(self, work: Callable[[], object]) -> float:
        """How long the work takes."""
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def seconds_of_step(self, work: Callable[[int], object], steps: int) -> float:
        """How long one of the steps takes, without what comes before and after them."""
        short, long = (self.seconds(partial(work, count)) for count in (self.few, self.few + steps))
        return (long - short) / steps

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


class Clock(Stopwatch):
    """Also measures the machine's two rates."""

    def __init__(self, device: str, matrix: int = MATRIX, copied: int = COPIED) -> None:
        super().__init__(device)
        a = torch.rand(matrix, matrix, device=device)
        source = torch.zeros(copied // 4, device=device)
        target = torch.empty_like(source)
        self.rating: tuple[Callable[[], object], ...] = (lambda: a @ a, lambda: target.copy_(source))
        self.amounts = (2 * matrix**3, 2 * copied)  # a copy reads and writes
        self.times: list[tuple[float, ...]] = []
        for work in self.rating:
            work()

    def rate(self) -> None:
        """Measure the rates once."""
        self.times.append(tuple(self.seconds(work) for work in self.rating))

    def rates(self) -> Rates:
        """The medians of all times."""
        medians = (statistics.median(column) for column in zip(*self.times, strict=True))
        return Rates(*(amount / seconds for amount, seconds in zip(self.amounts, medians, strict=True)))


class PlainWay:
    """The plain form in a process of its own, with memory as PyTorch has it by default. It works when it is asked."""

    def __init__(self, device: str) -> None:
        context = multiprocessing.get_context("fork")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, device), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> PlainWay:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def seconds_of_step(self, workload: Workload, steps: int) -> float:
        """How long one step takes on all images of the batch, one after the other."""
        try:
            self._connection.send((workload.method, workload.size, steps))
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"{workload.name}: the process of the plain way ended; too little memory?") from None
        if isinstance(answer, Exception):
            raise answer
        return cast(float, answer)


def _serve(connection: Connection, device: str) -> None:
    watch, name, ready = Stopwatch(device), ("", 0), None
    while True:
        method, size, steps = connection.recv()
        try:
            if ready is None or name != (method, size):
                ready = None  # before the next one needs memory
                (workload,) = selected([method], [size])
                name, ready = (method, size), workload.ready(device, workload.images)
            connection.send(watch.seconds_of_step(ready.plain, steps))
        except Exception as error:
            connection.send(error)


def steps_of(workload: Workload, cost: Cost) -> int:
    """How many steps are timed at once."""
    return max(1, min(MOST_STEPS, round(WORK / (cost.operations * workload.images * workload.rounds))))


def measured(workload: Workload, clock: Clock, plain: PlainWay, steps: int, repeats: int, minutes: float) -> Times:
    """Measure a workload by turns with the rates. The first round is not counted."""
    ready, image_rounds = workload.ready(clock.device, workload.images), workload.images * workload.rounds
    ends, found = time.monotonic() + 60 * minutes, list[list[float]]()
    for number in range(repeats + 1):
        if number > 1 and time.monotonic() > ends:
            break
        clock.rate()
        pair = clock.seconds_of_step(ready.ours, steps), plain.seconds_of_step(workload, steps)
        found.append([seconds / image_rounds for seconds in pair])
    return Times(*(statistics.median(column) for column in zip(*found[1:], strict=True)), len(found) - 1)


def machine_line(device: str, rates: Rates) -> str:
    """Commit, date, machine and rates."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") + (" + changes" if git("status", "--porcelain") else "")
    return (
        f"Commit {commit}, {datetime.date.today()}, {device_name(device)}, threads: {torch.get_num_threads()}, "
        f"torch {torch.__version__}. Matrix product: {rates.operations / 1e9:.0f} GFLOP/s; copy: "
        f"{rates.moved / 1e9:.1f} GB/s."
    )


def report(rows: Sequence[Row], rates: Rates, machine: str) -> str:
    """The definitions, the table, and a sentence for each row that is far from its limit."""
    lines = [machine, "", DEFINITIONS, _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(_cells(row, rates)) for row in rows]
    return "\n".join([*lines, "", *_notes(rows, rates)]).rstrip() + "\n"


def _cells(row: Row, rates: Rates) -> Iterator[str]:
    workload, cost, times = row.workload, row.cost, row.times
    yield from (workload.method, str(workload.size), workload.network, str(workload.images))
    for value in (cost.operations / 1e9, cost.moved / 1e6, row.allowed(rates) * 1e3, times.ours * 1e3):
        yield f"{float(f'{value:.3g}'):g}"
    yield from (f"{row.share(rates):.0%}", f"{times.plain / times.ours:.2f} times")


def _notes(rows: Sequence[Row], rates: Rates) -> Iterator[str]:
    rounds = max(row.times.rounds for row in rows)
    yield f"Medians of {rounds} rounds. Each time is of {MOST_STEPS} steps, or of fewer if they take long."
    if shorter := [row for row in rows if row.times.rounds < rounds]:
        yield f"Fewer rounds, for time: {', '.join(f'{row.workload.name}: {row.times.rounds}' for row in shorter)}."
    far = [row for row in rows if row.share(rates) < ENOUGH and row.why]
    if far:
        yield "\nBelow half of the limit:\n"
    for why in dict.fromkeys(row.why for row in far):
        yield f"- {'; '.join(row.workload.name for row in far if row.why == why)}: {why}"


def _line(cells: Sequence[str] | Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replaced(document: str, text: str) -> str:
    """The document with this text between its two markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} needs the lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
