"""Kinds of work that a plan holds, as far as time depends on them, and the table of what each was measured to take."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple

from reprior.machine.files import written_atomically
from reprior.planning.plan import CasePlan, Plan, batch_range
from reprior.planning.study import Spec

TABLE = Path("benchmarks/step_times.csv")
Stage = Literal["observe", "reconstruct", "evaluate"]


class Key(NamedTuple):
    """By what a kind of work is found in the table."""

    stage: str
    method: str
    """The method, or the metrics, with the settings that time depends on."""
    generator: str
    size: int
    """Height and width of the images."""
    operator: str


@dataclass(frozen=True)
class Work:
    """What a job does to a batch of images, whichever images they are."""

    stage: Stage
    size: int
    operator: Spec | None = None
    method: Spec | None = None
    generator: Spec | None = None
    metrics: Sequence[Spec] = ()

    @property
    def key(self) -> Key:
        """Rates, noise levels and the number of steps are left out: a step takes the same time with any of them."""
        done = [self.method] if self.method else self.metrics
        return Key(
            self.stage,
            "; ".join(map(_sizes, done)),
            _sizes(self.generator) if self.generator else "",
            self.size,
            _text(self.operator) if self.operator else "",
        )


@dataclass(frozen=True)
class Task:
    """The jobs of one case or cell: the same work on each of its batches."""

    study: str
    case: str
    work: Work
    batches: tuple[int, ...]
    """Images in each job."""
    rule: str
    """The workflow's, of these jobs."""
    steps: int = 1

    @property
    def images(self) -> int:
        """Images in all jobs."""
        return sum(self.batches)


@dataclass(frozen=True)
class Row:
    """One measurement."""

    device: str
    threads: int
    stage: str
    method: str
    generator: str
    size: int
    operator: str
    images: int
    """In the batch that was measured: the plan's, or the largest that fitted."""
    seconds: float
    """Per image and step; on one CPU thread the processor's time, so that other load does not count."""
    start_seconds: float
    """Per job, whatever its images and steps: imports, the operator, the generator, the first call."""
    peak_mib: float
    """The device's on CUDA and else the process's."""
    bytes: int
    """Written for one image; of `observe` alone."""
    date: str
    torch: str

    @property
    def key(self) -> Key:
        """By what it is found."""
        return Key(self.stage, self.method, self.generator, self.size, self.operator)

    @property
    def where(self) -> str:
        """On what it was measured."""
        return f"{self.device}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def seconds_of(self, task: Task) -> float:
        """What all jobs of a task take, one after the other."""
        return len(task.batches) * self.start_seconds + task.images * task.steps * self.seconds


def tasks(plan: Plan) -> Iterator[Task]:
    """Everything that a plan measures, reconstructs and evaluates, case by case."""
    for study in plan.studies.values():
        metrics = plan.computed_metrics(study)
        for case in study.cases.values():
            if case.gap is not None:
                continue
            yield _task(case, Work("observe", image_size(plan, case), case.operator), "observe")
            for cell in case.cells.values():
                generator = study.generators[cell.generator] if cell.generator else None
                work = Work("reconstruct", image_size(plan, case), case.operator, cell.spec, generator)
                rule = "reconstruct" if cell.iterates else "reconstruct_direct"
                yield _task(case, work, rule, cell.spec.get("steps", 1))
                yield _task(case, Work("evaluate", image_size(plan, case), metrics=metrics), "evaluate")


def image_size(plan: Plan, case: CasePlan) -> int:
    """Height and width of a case's images, as its data set says or else its generator; 0 where neither does."""
    generator = plan.studies[case.study].generators.get(case.generator or "", {})
    return int(case.images.spec.dataset.get("size") or generator.get("size") or 0)


def read_rows(path: Path) -> list[Row]:
    """The table of measurements; empty where there is none."""
    if not path.is_file():
        return []
    numbers = {"int": int, "float": float, "str": str}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(**{field.name: numbers[str(field.type)](row[field.name]) for field in fields(Row)})
            for row in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """The table in an order of its own; of two rows of the same work on the same device, the later one."""
    latest = {(row.where, row.key): row for row in rows}
    with written_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(row) for _, row in sorted(latest.items()))


def by_device(rows: Iterable[Row]) -> dict[str, dict[Key, Row]]:
    """What is known of each device and number of threads."""
    known: dict[str, dict[Key, Row]] = {}
    for row in rows:
        known.setdefault(row.where, {})[row.key] = row
    return known


def _task(case: CasePlan, work: Work, rule: str, steps: int = 1) -> Task:
    ranges = map(batch_range, case.images.batches)
    return Task(case.study, case.name, work, tuple(last - first + 1 for first, last in ranges), rule, steps)


def _sizes(spec: Mapping) -> str:
    """A plug-in with the settings that are no real numbers."""
    return _text({k: v for k, v in spec.items() if k not in ("steps", "weights") and not isinstance(v, float)})


def _text(spec: Mapping) -> str:
    """`bicubic padding=zero scale=4`"""
    settings = (f"{key}={value}" for key, value in sorted(spec.items()) if key != "name" and value is not None)
    return " ".join([spec["name"], *settings])
