"""`reprior trace`: the chain from a cell of a table, or any file, back to the downloads. Every link is checked."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reprior.acquire.lock import Entry, Lock
from reprior.errors import UserError
from reprior.planning.plan import CasePlan, Plan, StudyPlan
from reprior.provenance import Record, read_records
from reprior.provenance.lineage import Broken, Lineage, name


def trace(target: str, plan: Plan, root: Path, every: bool = False) -> str:
    """How `target` was made: a cell (study/case/method), an artifact (study/artifact) or a file.

    Of many similar jobs, such as the batches of a cell, only the first is shown, unless `every`. All are checked.
    """
    lineage = Lineage(root, read_records(root / plan.config.results, root / plan.config.data))
    found = _found(target, plan, lineage)
    jobs = lineage.jobs(found.files)
    broken = {name(job): list(lineage.broken(job)) for job in jobs}
    broken |= {name(job): _between(found.files, job, lineage) for job in found.artifacts}
    tree = _Tree(lineage, broken, Lock(root / plan.raw.parent / "sources.lock").entries(), plan.raw, every)
    verdict = _mend(plan, broken) or _holds(plan, lineage, jobs, found.files)
    return "\n".join([found.heading, *found.shown(), "", *tree.forest(found.files), "", *verdict])


@dataclass(frozen=True)
class _Found:
    """What is traced."""

    heading: str
    files: Sequence[str]
    """The files at the end of the chain."""
    artifacts: Sequence[Record] = ()
    """The jobs that made the tables and figures that show it."""

    def shown(self) -> list[str]:
        """One line per table or figure."""
        return [f"shown in {', '.join(sorted(artifact['outputs']))}" for artifact in self.artifacts]


def _found(target: str, plan: Plan, lineage: Lineage) -> _Found:
    study_name, *rest = target.split("/")
    study = plan.studies.get(study_name)
    if study and len(rest) == 1 and rest[0] in study.artifacts:
        heading = f"{target}: {study.artifacts[rest[0]].settings['title']} ({plan.scale.title})"
        return _Found(heading, [(study.folder / f"{rest[0]}.json").as_posix()])
    case = study.cases.get(rest[0]) if study and len(rest) == 2 else None
    if study and case and rest[1] in {*case.cells, *case.cell_gaps}:
        return _cell(study, case, rest[1], plan, lineage)
    file = _as_recorded(target, lineage)
    if file is None:
        raise UserError(_unknown(target, plan))
    return _Found(file, [file])


def _cell(study: StudyPlan, case: CasePlan, method: str, plan: Plan, lineage: Lineage) -> _Found:
    if gap := case.gap or case.cell_gaps.get(method):
        raise UserError(f"{study.name}/{case.name}/{method} is not computed at scale {plan.config.scale}: {gap}")
    numbers = [(case.folder / method / f"{batch}.csv").as_posix() for batch in case.images.batches]
    heading = f"{study.name}/{case.name}/{method}: {study.labels[method]} on {case.label} ({plan.scale.title})"
    sidecars = [(study.folder / f"{artifact}.json").as_posix() for artifact in study.artifacts]
    made = [lineage.records[file] for file in sidecars if file in lineage.records]
    return _Found(heading, numbers, [job for job in made if set(numbers) & set(job["inputs"])])


def _between(files: Sequence[str], artifact: Record, lineage: Lineage) -> list[Broken]:
    """What is broken between an artifact and these files. Its other inputs are not checked."""
    return [link for link in lineage.broken(artifact) if link.file in (*files, *artifact["outputs"])]


def _as_recorded(target: str, lineage: Lineage) -> str | None:
    """The path as the records write it, relative or absolute; None if there is no such file or record."""
    path = lineage.root / target
    names = (target, os.path.relpath(path, lineage.root), path.absolute().as_posix())
    known = next((file for file in names if file in lineage.records), None)
    return known or (names[1] if path.is_file() else None)


def _unknown(target: str, plan: Plan) -> str:
    study = target.partition("/")[0]
    if study not in plan.studies and (plan.root / "studies" / study / "study.yaml").is_file():
        return (
            f"'{target}': the study {study} is not configured (studies: {', '.join(plan.studies)}); give it:"
            f" --config studies={study}"
        )
    cells = [f"{case.study}/{case.name}/{cell.method}" for case, cell in plan.cells()]
    names = cells + [f"{study.name}/{artifact}" for study in plan.studies.values() for artifact in study.artifacts]
    close = difflib.get_close_matches(target, names, n=1, cutoff=0.3)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"'{target}' is neither study/case/method, study/artifact nor a file{hint}"


@dataclass
class _Tree:
    """Draws a tree of jobs. Below each job: the jobs that made its inputs."""

    lineage: Lineage
    broken: Mapping[str, Sequence[Broken]]
    downloads: Mapping[str, Entry]
    raw: Path
    every: bool
    drawn: set[str] = field(default_factory=set)

    def forest(self, files: Iterable[str]) -> list[str]:
        """One tree per file. Files that one job made share a tree."""
        jobs = {name(job): job for job in map(self.lineage.records.get, files) if job}
        lost = [[f"no record  {file}"] for file in self.lineage.lost(files)]
        return [line for block in [*self._blocks(list(jobs.values())), *lost] for line in block]

    def _blocks(self, jobs: Sequence[Record]) -> Iterator[list[str]]:
        """A tree for the first job of each stage, or for every job. Downloads are all shown: each has a licence."""
        for stage in dict.fromkeys(job["stage"] for job in jobs):
            alike = sorted((job for job in jobs if job["stage"] == stage), key=name)
            shown = alike if self.every or stage == "acquire" else alike[:1]
            yield from map(self._tree, shown)
            if shown != alike:
                yield [f"... and {len(alike) - 1} more of {stage}, checked as well (--all shows them)"]

    def _tree(self, job: Record) -> list[str]:
        if name(job) in self.drawn:
            return [f"{job['stage']}  {name(job)}  as above"]
        self.drawn.add(name(job))
        given = [self._given(file, job["inputs"][file]) for file in self.lineage.lost(job["inputs"])]
        below = [*self._blocks(self.lineage.makers(job)), *given]
        return [*_indented(list(self._about(job)), "", "│  " if below else "   "), *_branches(below)]

    def _about(self, job: Record) -> Iterator[str]:
        first, *others = [
            line
            for file in sorted(job["outputs"], reverse=True)
            for line in (f"{file}  sha256 {job['outputs'][file]['sha256'][:12]}", *self._origin(file))
        ]
        yield f"{job['stage']}  {first}"
        yield from others
        device = f" on {job['device']}" if job["device"] else ""
        code = f"commit {_short(job['commit'] or 'unknown')}, code {job['code'][:12]}"
        yield f"{job['started'][:16].replace('T', ' ')} UTC, {job['seconds']:.1f} s{device}, {code}"
        yield from (f"BROKEN  {link.file} {link.reason}" for link in self.broken[name(job)])
        if method := job["settings"].get("method"):
            yield f"{method['name']}: {', '.join(f'{key} {method[key]}' for key in method if key != 'name')}"
        yield from (f"plug-in  {file}  sha256 {sha256[:12]}" for file, sha256 in job.get("plugins", {}).items())
        yield f"$ {job['command']}"

    def _origin(self, file: str) -> Iterator[str]:
        path = Path(file)
        entry = self.downloads.get(path.relative_to(self.raw).as_posix()) if path.is_relative_to(self.raw) else None
        if entry:
            yield f"{entry.file} from {entry.origin}, {entry.date}"
            yield f"licence: {entry.licence}"

    def _given(self, file: str, sha256: str) -> list[str]:
        """A file that no job made. The lock may know it as a download placed by hand."""
        return [f"given  {file}  sha256 {sha256[:12]}", *(f"   {line}" for line in self._origin(file))]


def _branches(blocks: Sequence[list[str]]) -> list[str]:
    last = len(blocks) - 1
    ends = (("├─ ", "│  ") if number < last else ("└─ ", "   ") for number in range(len(blocks)))
    return [line for block, (first, rest) in zip(blocks, ends, strict=True) for line in _indented(block, first, rest)]


def _indented(lines: Sequence[str], first: str, rest: str) -> list[str]:
    return [f"{rest if number else first}{line}" for number, line in enumerate(lines)]


def _short(commit: str) -> str:
    revision, *edited = commit.split("-")
    return "-".join([revision[:12], *edited])


def _mend(plan: Plan, broken: Mapping[str, Sequence[Broken]]) -> list[str]:
    """What is broken and how to repair it; empty if nothing is broken."""
    links = [link for found in broken.values() for link in found]
    remake = " ".join(dict.fromkeys(link.remake for link in links))
    command = f"snakemake --cores all --config scale={plan.config.scale} --forcerun {remake}"
    advice = f"to remake what is broken and all that depends on it: {command}"
    return [*(f"BROKEN  {link.file} {link.reason}" for link in links), advice] if links else []


def _holds(plan: Plan, lineage: Lineage, jobs: Sequence[Record], files: Sequence[str]) -> list[str]:
    absent = [file for file in lineage.lost(files) if not (lineage.root / file).is_file()]
    if absent:
        return [f"not made yet: snakemake --cores all --config scale={plan.config.scale} {' '.join(absent)}"]
    read = (file for job in jobs for file in lineage.lost(job["inputs"]))
    lost = sorted({file for file in (*lineage.lost(files), *read) if _ours(file, plan)})
    if lost:
        return [f"every recorded link holds; made before there were records, or by hand: {', '.join(lost)}"]
    return [f"every link holds ({len(jobs)} jobs)"]


def _ours(file: str, plan: Plan) -> bool:
    """Whether it is in a folder where the workflow writes. Other files are the user's own, which no job made."""
    return any(Path(file).is_relative_to(folder) for folder in (plan.config.results, plan.config.data))
