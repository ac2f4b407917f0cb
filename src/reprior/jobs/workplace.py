"""The folders of a run. One run uses them at a time, and damaged results are set aside."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reprior import provenance
from reprior.errors import UserError
from reprior.jobs.code_fingerprint import code_fingerprint
from reprior.machine.devices import queued_jobs
from reprior.machine.locks import holder, is_locked, job_lock, locked
from reprior.planning.plan import Plan

_SHOWN = 5
_ASIDES = provenance.aside_path(Path("*")).name
_JOB_LOCKS = job_lock(Path("*")).name


@dataclass(frozen=True)
class Workplace:
    """The folder where Snakemake runs, and the folders of its results and images."""

    folder: Path
    results: Path
    """results/<scale>"""
    images: Path
    """data/images/<scale>"""

    @staticmethod
    def of(plan: Plan, folder: Path) -> Workplace:
        """The workplace of a plan."""
        return Workplace(folder, plan.folder, Path(plan.config.data) / "images" / plan.config.scale)

    @property
    def _lock(self) -> Path:
        return self.results / ".run.lock"

    def occupied(self) -> IO[str]:
        """Lock the results folder until this process ends. UserError if another run or its jobs still work in it."""
        self.results.mkdir(parents=True, exist_ok=True)
        file = locked(self._lock)
        if file is None:
            raise UserError(
                f"{self.results}: another run works in it ({holder(self._lock)}); wait until it ends, or give this one"
                " a folder of its own: --config results=..."
            )
        if working := [*self._working_jobs(), *queued_jobs(self.folder)]:
            file.close()
            raise UserError(
                f"{self.results}: jobs of an earlier run still work here: {_listed(working)}. Wait until they have"
                " ended, and what they make is kept; or end them (kill, scancel), and they go on from their"
                " checkpoints when you start again"
            )
        return file

    def _working_jobs(self) -> Iterator[str]:
        for place in (self.results, self.images):
            for lock in place.rglob(_JOB_LOCKS):
                if is_locked(lock):
                    yield f"{lock.parent / lock.name[1:].removesuffix('.working')} by {holder(lock)}"

    def lock_advice(self) -> str:
        """What to do about the lock of a Snakemake that was killed; empty if there is none."""
        if is_locked(self._lock) or not any((self.folder / ".snakemake/locks").glob("*.lock")):
            return ""
        return "a run in this folder was killed and left its lock; free it with `snakemake --unlock`, then start again"

    def damaged(self, thorough: bool = False) -> dict[Path, str]:
        """Damaged results and what is wrong with each. `thorough` also hashes files whose size and time look right."""
        records = provenance.read_records(self.results, self.images)
        return dict(_damaged(records, thorough))

    def mended(self, planned: Iterable[str], only_tell: bool) -> None:
        """Set aside damaged results, and `planned` results that Snakemake does not know. `only_tell` just lists them.

        Results are unknown to Snakemake if their job ended after its run or was started by hand. Snakemake would accept
        them even if the plan has changed. The next job takes its result back if it is what the job would make.
        """
        if is_locked(self._lock):
            return  # a run is active: what it is replacing would look damaged
        records = provenance.read_records(self.results, self.images)
        done = "would be" if only_tell else "was"
        found = dict.fromkeys(
            self._unknown(planned, records), f"is unknown to Snakemake; it {done} set aside to be checked"
        )
        for path, fault in _damaged(records, thorough=False):
            found[path] = f"{fault}; it {done} set aside to be made again"
        for path, what in found.items():
            if not only_tell:
                path.replace(provenance.aside_path(path))
            print(f"reprior: {path} {what}", file=sys.stderr)

    def _unknown(self, planned: Iterable[str], records: Mapping[str, provenance.Record]) -> Iterator[Path]:
        notes = self.folder / ".snakemake"
        known, names = _noted(notes / "metadata") - _noted(notes / "incomplete"), list(planned)
        if known.isdisjoint(names):
            return  # results from elsewhere, or notes in another format: leave them to Snakemake
        yield from (Path(name) for name in names if name in records and name not in known and Path(name).exists())

    def to_be_made_again(self) -> set[str]:
        """Results that were set aside and have not been remade yet."""
        asides = (aside for place in (self.results, self.images) for aside in place.rglob(_ASIDES))
        return {(aside.parent / aside.name[1:]).with_suffix("").as_posix() for aside in asides}

    def verified(self) -> list[str]:
        """Hash every file that has a record and set damaged results aside. Returns one line per problem."""
        if is_locked(self._lock):
            raise UserError(f"{self.results}: {holder(self._lock)} works in it; verify when that run has ended")
        found = []
        for path, fault in self.damaged(thorough=True).items():
            path.replace(provenance.aside_path(path))
            found.append(f"{path} {fault}; it was set aside, and the next run makes it again")
        data = self.images.parents[1]
        given = provenance.read_records(*(data / folder for folder in ("raw", "weights", "matrices")))
        for path, fault in _damaged(given, thorough=True):
            found.append(f"{path} {fault}; unless you put it there yourself, remove it to have it made again")
        return found + list(_by_other_code(provenance.read_records(self.results, self.images)))


def _by_other_code(records: Mapping[str, provenance.Record]) -> Iterator[str]:
    for name, record in records.items():
        try:
            same = record["code"] == code_fingerprint(*record["modules"])
        except ModuleNotFoundError:
            same = False
        if not same:
            yield f"{name} was made by code that differs from the present code (commit {record['commit'] or 'unknown'})"


def _damaged(records: Mapping[str, provenance.Record], thorough: bool) -> Iterator[tuple[Path, str]]:
    for name, record in records.items():
        path, known = Path(name), record["outputs"][name]
        try:
            if not thorough and provenance.unchanged(path, known):
                continue
            found = provenance.content(path)
        except FileNotFoundError:
            continue
        if found["sha256"] != known["sha256"]:
            yield path, _fault(found["bytes"], known["bytes"])
        elif not provenance.unchanged(path, known):
            provenance.note_again(record, path, found)


def _noted(folder: Path) -> set[str]:
    """The files that Snakemake has notes of in this folder. A note's path is the file's in base 64, split if long."""
    names = ("".join(path.relative_to(folder).parts).replace("@", "") for path in folder.rglob("*") if path.is_file())
    return {base64.urlsafe_b64decode(name).decode() for name in names}


def _fault(found: int, known: int) -> str:
    if found == 0 and known:
        return "is empty"
    return f"has {found} of {known} bytes" if found < known else "has another content than its job wrote"


def _listed(working: list[str]) -> str:
    more = f", and {len(working) - _SHOWN} more" if len(working) > _SHOWN else ""
    return "; ".join(working[:_SHOWN]) + more
