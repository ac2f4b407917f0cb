"""`reprior plan`: what a run would take, as text. Nothing here imports torch.

Hours come only from measured step times (benchmarks/step_times.csv). Work that was not measured on a device is listed,
never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from reprior.planning.footprint import (
    alone,
    computed_cases,
    disk,
    image_sets,
    jobs,
    left_out,
    made_weights,
    readable,
    unknown_bytes,
)
from reprior.planning.plan import Plan
from reprior.planning.step_times import TABLE, Key, Row, Task, by_device, read_rows, tasks

Known = Mapping[Key, Row]
"""What has been measured on one device."""
_COUNTING = "Counted as if no download, image or result existed yet."
_SHARED = "What studies share is counted once under 'all'."


def describe(plan: Plan, root: Path) -> str:
    """The whole estimate: one column per study and one for all. Below it: what is not known."""
    rows = read_rows(root / TABLE)
    plans = {name: alone(plan, name) for name in plan.studies} | ({"all": plan} if len(plan.studies) > 1 else {})
    devices, sized = by_device(rows), {row.key: row for row in rows}
    columns = list(plans.values())
    table = [["", *plans], *_count_rows(columns)]
    for device, known in devices.items():
        table += _hour_rows(device, columns, known)
    table += _disk_rows(columns, sized)
    paragraphs = [
        [f"{plan.scale.title} (scale={plan.config.scale})."],
        [f"{name}: {study.note}" for name, study in plan.studies.items() if study.note],
        [f"{_COUNTING} {_SHARED if len(plan.studies) > 1 else ''}".rstrip()],
        _aligned(table),
        *_gaps(plan, devices, sized),
        _advice(plan, devices),
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def hours(plan: Plan, known: Known) -> dict[str, float]:
    """Hours by stage if its jobs run one after the other, without work that has not been measured."""
    found: dict[str, float] = {}
    for task in tasks(plan):
        if task.work.key in known:
            seconds = known[task.work.key].seconds_of(task)
            found[task.work.stage] = found.get(task.work.stage, 0.0) + seconds / 3600
    return found


def unmeasured(plan: Plan, known: Known) -> list[Task]:
    """The tasks that `hours` leaves out, in stages that were measured at least once on this device."""
    stages = {row.stage for row in known.values()}
    return [task for task in tasks(plan) if task.work.stage in stages and task.work.key not in known]


def _count_rows(plans: Sequence[Plan]) -> Iterator[list[str]]:
    counted = [jobs(plan) for plan in plans]
    yield ["cases", *(str(len(computed_cases(plan))) for plan in plans)]
    yield ["cells", *(str(len(list(plan.cells()))) for plan in plans)]
    yield ["images", *(str(sum(images.spec.size for images in image_sets(plan))) for plan in plans)]
    yield ["jobs", *(f"{each.total():,}" for each in counted)]
    for rule in counted[-1]:
        yield [f"  {rule}", *(f"{each[rule]:,}" for each in counted)]


def _hour_rows(device: str, plans: Sequence[Plan], known: Known) -> Iterator[list[str]]:
    yield [f"hours on {device}"]
    for stage in sorted({row.stage for row in known.values()}):
        cells = [(hours(plan, known).get(stage), unmeasured(plan, known)) for plan in plans]
        yield [f"  {stage}", *(_hours(value, any(task.work.stage == stage for task in gap)) for value, gap in cells)]


def _hours(value: float | None, incomplete: bool) -> str:
    """`12.30`, or `> 12.30` if some work was not measured."""
    if value is None:
        return "not measured" if incomplete else "0"
    return f"{'> ' if incomplete else ''}{value:,.2f}"


def _disk_rows(plans: Sequence[Plan], sized: Known) -> Iterator[list[str]]:
    found = [disk(plan, sized) for plan in plans]
    yield ["disk", *(readable(each.total) for each in found)]
    for part in found[0].parts():
        yield [f"  {part}", *(readable(each.parts()[part]) for each in found)]


def _gaps(plan: Plan, devices: Mapping[str, Known], sized: Known) -> Iterator[list[str]]:
    for device, known in devices.items():
        if tasks_left := unmeasured(plan, known):
            yield [
                f"Not measured on {device}, so not in the hours above (method, generator, size: operators):",
                *_grouped(tasks_left),
            ]
    trainings = [f"  training of {weights.name}" for weights in made_weights(plan) if weights.training]
    yield [
        "Not in the hours above:",
        "  downloads",
        *trainings,
        *(f"  design of {matrix.name}" for matrix in plan.matrices.values()),
        "  prepare, convert, aggregate, render, report: seconds each",
    ]
    if lacking := left_out(plan):
        yield ["Left out, so counted nowhere above:", *(f"  {cells} cells: {why}" for why, cells in lacking.items())]
    if unknown := unknown_bytes(plan, sized):
        yield ["Of the disk, not known exactly:", *(f"  {each}" for each in unknown)]


def _grouped(unknown: Iterable[Task]) -> list[str]:
    """`  iagan: reconstruct, csgm, began, 128 px: bicubic 2, gaussian 6`: the number of operators of each name."""
    keys: dict[tuple[str, str], set[Key]] = {}
    for task in unknown:
        work = task.work
        names = (spec["name"] for spec in (work.method, work.generator) if spec)
        what = f"{task.study}: {', '.join([work.stage, *names, f'{work.size} px'])}"
        keys.setdefault((what, work.operator["name"] if work.operator else ""), set()).add(work.key)
    lines: dict[str, list[str]] = {}
    for (what, operator), found in keys.items():
        lines.setdefault(what, []).append(f"{operator} {len(found)}" if operator else "")
    return [f"  {what}: {', '.join(operators)}".removesuffix(": ") for what, operators in lines.items()]


def _advice(plan: Plan, devices: Mapping[str, Known]) -> list[str]:
    measured = any(not device.startswith("cpu") for device in devices)
    gpu = [] if measured else ["No GPU has been measured, so no GPU-hours can be given."]
    config = f"scale={plan.config.scale} 'studies=[{', '.join(plan.studies)}]'{' whole=true' * plan.config.whole}"
    return [
        *gpu,
        f"To measure what is missing on this machine: python {TABLE.parent}/measure_steps.py --config {config}",
    ]


def _aligned(table: list[list[str]]) -> list[str]:
    """Names on the left, values on the right. A row with only a name is a heading."""
    first = max(len(row[0]) for row in table if len(row) > 1)
    width = max(len(cell) for row in table for cell in row[1:]) + 2
    return [f"{row[0]:<{first}}{''.join(f'{cell:>{width}}' for cell in row[1:])}".rstrip() for row in table]
