"""A solver of one's own beside all methods of a study, on the very same observations."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from reprior.errors import UserError
from reprior.machine.files import write_text
from reprior.methods.base import Problem, Reconstruction
from reprior.metrics import metric_id
from reprior.operators.base import Operator
from reprior.planning.messages import checked_spec, nearest
from reprior.planning.plan import OBSERVATION, Artifact, CasePlan, Cell, Plan, StudyPlan, render_spec
from reprior.planning.plugins import plugin
from reprior.planning.resolve import make_plan
from reprior.planning.study import Spec
from reprior.planning.yaml_files import read_config
from reprior.render.artifact import render
from reprior.render.report import build
from reprior.stages.aggregate import aggregate
from reprior.stages.evaluate import evaluate
from reprior.stages.reconstruct import reconstruct

if TYPE_CHECKING:
    from pandas import DataFrame

Solver = Callable[[Tensor, Operator], Tensor]
"""(y [N, *measurement_shape], A) -> images [N, C, H, W] in [0, 1]."""


@dataclass(frozen=True)
class Comparison:
    """Where the numbers of a comparison are."""

    folder: Path

    @property
    def report(self) -> Path:
        """The page with table and pictures."""
        return self.folder / "index.html"

    @property
    def table(self) -> str:
        """The table in Markdown: the methods of the study, the paper's numbers and the solver."""
        return (self.folder / "table.md").read_text(encoding="utf-8")

    @property
    def numbers(self) -> DataFrame:
        """Every number of every image: study, case, method, image, metric, value."""
        import pandas

        return pandas.read_csv(self.folder / "metrics.csv", dtype={"image": str})


def compare(
    solver: Solver,
    *,
    study: str,
    cases: Sequence[str] | None = None,
    scale: str = "small",
    name: str = "mine",
    label: str = "",
    out: str | Path | None = None,
    cores: int | None = None,
) -> Comparison:
    """Run a solver on the observations of a study, and put it into one table with all methods of the study.

    Call it in the project's folder. What the study lacks, or what an edit has outdated, is made first, by Snakemake on
    `cores` cores. `cases` are names; all computed cases if not given. Table, pictures and report go to `out`,
    `compared/<name>` if not given; a folder of an earlier comparison is replaced. Results of the study stay as they
    are.

    >>> def my_solver(y, operator):
    ...     return operator.A_dagger(y)
    >>> found = reprior.compare(my_solver, study="iagan", cases=["celeba-sr-x4"], scale="demo")  # doctest: +SKIP
    >>> print(found.table)  # doctest: +SKIP
    """
    plan = _plan(scale, study)
    chosen = _chosen(plan.studies[study], cases, name)
    _make(plan, study, chosen, cores)
    folder = Path(out) if out is not None else Path("compared") / name
    half = folder.with_name(f".{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    for case in chosen:
        _solve(plan, case, solver, name, half / case.name)
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
    _show(plan, _with_solver(plan, study, chosen, name, label or name, folder), folder)
    return Comparison(folder)


def _plan(scale: str, study: str) -> Plan:
    root = Path()
    if not (root / "Snakefile").is_file():
        raise UserError(f"reprior.compare: {root.resolve()} has no Snakefile; call it in the project's folder")
    return make_plan(root, read_config(root, [f"scale={scale}", f"studies={study}"]))


def _chosen(study: StudyPlan, names: Sequence[str] | None, name: str) -> list[CasePlan]:
    """The cases asked for, each with something to compare with."""
    if name in study.labels or name == OBSERVATION:
        raise UserError(f"reprior.compare: the study {study.name} has a method '{name}'; give another `name`")
    for each in names or ():
        if each not in study.cases:
            raise UserError(f"reprior.compare: study {study.name} has no case '{each}'{nearest(each, [*study.cases])}")
        if gap := study.cases[each].gap:
            raise UserError(f"reprior.compare: case {each} is not computed at this scale: {gap}")
    found = [case for case in study.cases.values() if not case.gap and (names is None or case.name in names)]
    if not found:
        raise UserError(f"reprior.compare: no case of study {study.name} is computed at this scale")
    return found


def _make(plan: Plan, study: str, cases: Sequence[CasePlan], cores: int | None) -> None:
    """Let Snakemake make what is missing or outdated of the images, the observations and the study's own numbers."""
    wanted = [
        path
        for case in cases
        for batch in case.images.batches
        for path in (
            case.images.folder / f"{batch}.safetensors",
            case.folder / OBSERVATION / f"{batch}.safetensors",
            *(case.folder / method / f"{batch}.csv" for method in case.cells),
        )
    ]
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores or "all"), "--config"]
    command += [f"scale={plan.config.scale}", f"studies={study}", "--", *map(str, wanted)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # of the jobs' python
    if subprocess.run(command, env={**os.environ, "PATH": path}).returncode:
        raise UserError(f"reprior.compare: Snakemake could not make the study's own results; try: {' '.join(command)}")


def _solve(plan: Plan, case: CasePlan, solver: Solver, name: str, folder: Path) -> None:
    """Run the solver on a case, and measure it; the study's own results are linked beside it."""

    def method(problem: Problem) -> Reconstruction:
        images = solver(problem.y, problem.operator)
        wanted = (len(problem), *problem.operator.image_shape)
        if not isinstance(images, Tensor) or tuple(images.shape) != wanted:
            found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise UserError(f"reprior.compare: the solver must return a tensor {wanted}, not {found}")
        return Reconstruction(images.detach())

    metrics = plan.computed_metrics(plan.studies[case.study])
    folder.mkdir(parents=True)
    for existing in (OBSERVATION, *case.cells):
        (folder / existing).symlink_to((case.folder / existing).resolve())
    for batch in case.images.batches:
        result = folder / name / f"{batch}.safetensors"
        reconstruct(folder / OBSERVATION / f"{batch}.safetensors", {"name": name}, result, label=name, solver=method)
        evaluate(result, case.images.folder / f"{batch}.safetensors", metrics, plan.raw, result.with_suffix(".csv"))


def _with_solver(plan: Plan, of: str, cases: Sequence[CasePlan], name: str, label: str, folder: Path) -> StudyPlan:
    """The study with these cases only, the solver as one more method, and a table and pictures of all."""
    study, cell = plan.studies[of], Cell(name, {"name": name}, {}, None)
    cells = [(method, each) for case in cases for method, each in case.cells.items()]
    measured = {method for method, each in cells if plan.metrics_of(study, each)}
    restoring = [method for method in study.labels if method in measured]
    shown = {
        "title": f"{label} beside the methods of {study.title}",
        "cases": [case.name for case in cases],
        "methods": [*restoring, name],
    }
    metrics = [*map(metric_id, study.metrics), "residual", "seconds"]
    artifacts = [
        _artifact("table", "table", {**shown, "metrics": metrics}),
        _artifact("pictures", "grid", {**shown, "pictures": 3}),
    ]
    return replace(
        study,
        folder=folder,
        labels={**study.labels, name: label},
        cases={case.name: replace(case, cells={**case.cells, name: cell}, folder=folder) for case in cases},
        artifacts={artifact.name: artifact for artifact in artifacts},
    )


def _artifact(name: str, kind: str, settings: Spec) -> Artifact:
    """An artifact with every setting, as a study's file would give it."""
    checked = dict(checked_spec("artifact", {"name": kind, **settings}, Path("reprior.compare"), name))
    constants = plugin("artifact", checked.pop("name")).constants
    return Artifact(name, kind, checked, tuple(constants["SUFFIXES"]), constants["READS"])


def _show(plan: Plan, study: StudyPlan, folder: Path) -> None:
    """Write the table, the pictures, the report and all numbers."""
    plan = replace(plan, studies={study.name: study})
    write_text(folder / "reported.csv", _reported(study))
    for artifact in study.artifacts:
        render(render_spec(plan, study.name, artifact), folder / "reported.csv", folder / artifact)
    aggregate([*_csvs(study, folder)], folder / "metrics.csv")
    build([folder / f"{artifact}.json" for artifact in study.artifacts], folder / "index.html", "reprior.compare(...)")


def _csvs(study: StudyPlan, folder: Path) -> Iterator[Path]:
    for case in study.cases.values():
        for method in case.cells:
            yield from (folder / case.name / method / f"{batch}.csv" for batch in case.images.batches)


def _reported(study: StudyPlan) -> str:
    """The paper's numbers as rows of the table. If the paper has several of one cell and metric, the first."""
    with study.reported.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = {(row["case"], row["method"], row["metric"]): row for row in reversed(rows) if row["case"] in study.cases}
    text = io.StringIO()
    writer = csv.DictWriter(text, ("artifact", "case", "method", "metric", "value", "note"), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "artifact": "table"} for row in first.values())
    return text.getvalue()
