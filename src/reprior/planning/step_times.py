"""The kinds of work in a plan, distinguished by what affects their time, and the table of measured times."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Literal, NamedTuple

from reprior.machine.files import written_atomically
from reprior.planning import plugins
from reprior.planning.matrices import MATRIX, design_settings
from reprior.planning.plan import CasePlan, Plan, batch_range
from reprior.planning.study import Spec

TABLE = Path("benchmarks/step_times.csv")
Stage = Literal["observe", "reconstruct", "evaluate"]


class Key(NamedTuple):
    """The key of a kind of work in the table."""

    stage: str
    method: str
    """The method or the metrics, with the settings that the time depends on."""
    generator: str
    size: int
    """Height and width of the images."""
    operator: str


@dataclass(frozen=True)
class Work:
    """What a job does to a batch of images. It does not depend on which images they are."""

    stage: Stage
    size: int
    operator: Spec | None = None
    method: Spec | None = None
    generator: Spec | None = None
    networks: Mapping[str, Spec] = field(default_factory=dict)
    """Other trained networks, by the method's argument."""
    metrics: Sequence[Spec] = ()
    channels: int = 3
    """Of the images. Not in the key: images of one size have the same number in all studies."""

    @property
    def key(self) -> Key:
        """Rates, noise levels and the number of steps are left out: the time per step does not depend on them."""
        done = [self.method] if self.method else self.metrics
        return Key(
            self.stage,
            "; ".join(map(_sizes, done)),
            "; ".join(map(_sizes, filter(None, [self.generator, *self.networks.values()]))),
            self.size,
            _text(_timed(self.operator)) if self.operator else "",
        )


@dataclass(frozen=True)
class Task:
    """The jobs of one case or cell: the same work on each of its batches."""

    study: str
    case: str
    work: Work
    batches: tuple[int, ...]
    """Number of images in each job."""
    rule: str
    """The workflow rule of these jobs."""
    steps: int = 1

    @property
    def images(self) -> int:
        """Number of images in all jobs."""
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
    """Number of images in the measured batch: the plan's batch, or the largest that fitted."""
    seconds: float
    """Per image and step. On one CPU thread this is processor time, so that other load does not count."""
    start_seconds: float
    """Per job, independent of images and steps: imports, the operator, the generator, the first call."""
    peak_mib: float
    """Peak memory: of the device on CUDA, else of the process."""
    bytes: int
    """Bytes written per image; only for `observe`."""
    date: str
    torch: str

    @property
    def key(self) -> Key:
        """The key of its kind of work."""
        return Key(self.stage, self.method, self.generator, self.size, self.operator)

    @property
    def where(self) -> str:
        """The device and number of threads of the measurement."""
        return f"{self.device}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def seconds_of(self, task: Task) -> float:
        """Seconds that all jobs of a task take, one after the other."""
        return len(task.batches) * self.start_seconds + task.images * task.steps * self.seconds


def tasks(plan: Plan) -> Iterator[Task]:
    """All observe, reconstruct and evaluate tasks of a plan, case by case."""
    for study in plan.studies.values():
        for case in study.cases.values():
            if case.gap is not None:
                continue
            size, channels = image_size(plan, case), image_channels(case)
            yield _task(case, Work("observe", size, case.operator, channels=channels), "observe")
            for cell in case.cells.values():
                networks = plan.trained(case, cell)
                generator = networks.pop("generator", None)
                work = Work("reconstruct", size, case.operator, cell.spec, generator, networks, channels=channels)
                rule = "reconstruct" if cell.takes_long else "reconstruct_direct"
                yield _task(case, work, rule, cell.spec.get("steps", 1))
                compared = Work("evaluate", size, metrics=plan.metrics_of(study, cell), channels=channels)
                yield _task(case, compared, "evaluate")


def image_channels(case: CasePlan) -> int:
    """Channels of a case's images: a setting of its data set, or the constant `CHANNELS` of its module; else 3."""
    spec = case.images.spec.dataset
    return int(spec.get("channels") or plugins.plugin("dataset", spec["name"]).constants.get("CHANNELS", 3))


def image_size(plan: Plan, case: CasePlan) -> int:
    """Height and width of a case's images, from its data set or else its generator; 0 if neither has a size."""
    generator = plan.studies[case.study].generators.get(case.generator or "", {})
    return int(case.images.spec.dataset.get("size") or generator.get("size") or 0)


def read_rows(path: Path) -> list[Row]:
    """The table of measurements; empty if it does not exist."""
    if not path.is_file():
        return []
    numbers = {"int": int, "float": float, "str": str}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(**{field.name: numbers[str(field.type)](row[field.name]) for field in fields(Row)})
            for row in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the table, sorted. Of two rows with the same work and device, the later one is kept."""
    latest = {(row.where, row.key): row for row in rows}
    with written_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(row) for _, row in sorted(latest.items()))


def by_device(rows: Iterable[Row]) -> dict[str, dict[Key, Row]]:
    """The rows by device and number of threads, then by kind of work."""
    known: dict[str, dict[Key, Row]] = {}
    for row in rows:
        known.setdefault(row.where, {})[row.key] = row
    return known


def _task(case: CasePlan, work: Work, rule: str, steps: int = 1) -> Task:
    ranges = map(batch_range, case.images.batches)
    return Task(case.study, case.name, work, tuple(last - first + 1 for first, last in ranges), rule, steps)


def _sizes(spec: Mapping) -> str:
    """A plug-in with those settings that change the time per step: no floats, `steps` or `weights`."""
    timed = {k: v for k, v in spec.items() if k not in ("steps", "weights") and not isinstance(v, float)}
    if "loss" in timed:
        timed["loss"] = " + ".join(map(_sizes, timed["loss"]))
    return _text(timed)


def _timed(operator: Spec) -> Spec:
    """An operator without what its matrix is designed from, as the time does not depend on that."""
    settings = design_settings(operator)
    return {k: v for k, v in operator.items() if not settings or k not in (*settings, MATRIX)}


def _text(spec: Mapping) -> str:
    """`bicubic padding=zero scale=4`: the settings have no spaces in them, so that they can be told apart."""
    given = ((key, value) for key, value in sorted(spec.items()) if key != "name" and value is not None)
    settings = (f"{key}={str(value).replace(', ', ',')}" for key, value in given)
    return " ".join([spec["name"], *settings])
