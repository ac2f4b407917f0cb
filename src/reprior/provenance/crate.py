"""A finished run as an RO-Crate: the folder `results/<scale>`, and JSON-LD on which job made each file from what."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from reprior.acquire.fetch import LOCK
from reprior.acquire.lock import Lock
from reprior.errors import UserError
from reprior.machine.files import write_json
from reprior.provenance import Record, read_records
from reprior.provenance.crate_entities import CONTEXT, Entities
from reprior.provenance.crate_files import Files
from reprior.provenance.lineage import Lineage


def copies(workflow: Iterable[Path], root: Path, out: Path) -> dict[Path, Path]:
    """The path in the crate of each workflow file. `out` is the metadata file of the crate."""
    return {file: out.parent / "workflow" / _place(file, root) for file in workflow}


def _place(file: Path, root: Path) -> Path:
    """The path from the root. Only plug-ins of the user may lie elsewhere."""
    return file.relative_to(root) if file.is_relative_to(root) else Path("elsewhere", *file.parts[1:])


def write_crate(
    results: Sequence[Path],
    workflow: Sequence[Path],
    *,
    root: Path,
    records: Sequence[Path],
    raw: Path,
    command: str,
    out: Path,
) -> None:
    """Write the metadata of the run that `command` started and that made `results`.

    Copies the `workflow` files, which define the run, into the crate. The first is the Snakefile.
    """
    lineage = Lineage(Path(), read_records(*records))
    jobs = lineage.jobs(path.as_posix() for path in results)
    _check(lineage, jobs, results)
    copied = copies(workflow, root, out)
    for file, copy in copied.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    here = {file.resolve(): copy for file, copy in copied.items()}
    files = Files(out.parent, raw, here, Lock(raw.parent / LOCK).entries())
    ends = [path.as_posix() for path in results]
    entities = Entities(lineage, jobs, ends, command, list(copied.values()), files)
    write_json(out, {"@context": CONTEXT, "@graph": entities.graph()})


def _check(lineage: Lineage, jobs: Sequence[Record], results: Sequence[Path]) -> None:
    """Raise UserError if a result has no record, or if a file does not match the records."""
    lost = lineage.lost(path.as_posix() for path in results)
    broken = [link for job in jobs for link in lineage.broken(job)]
    problems = [
        *(f"{file} has no record of how it was made" for file in lost),
        *(f"{b.file} {b.reason}" for b in broken),
    ]
    if problems:
        shown = "; ".join(problems[:5]) + ("; ..." if problems[5:] else "")
        raise UserError(f"no RO-Crate is written: {shown}. `reprior trace FILE` says what to make again")
