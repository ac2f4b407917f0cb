"""A finished run as an RO-Crate: the folder `results/<scale>` and, in JSON-LD, which job made each file from what."""

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
    """Where the crate whose metadata is `out` holds each file that says what was run."""
    return {file: out.parent / "workflow" / file.relative_to(root) for file in workflow}


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
    """Write the metadata of the run that `command` made and that ended in `results`.

    The `workflow` files, which say what was run, are copied into the crate; the first is the Snakefile.
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
    """A crate that ties a result to what it was not made from would be worse than none."""
    lost = lineage.lost(path.as_posix() for path in results)
    broken = [link for job in jobs for link in lineage.broken(job)]
    problems = [
        *(f"{file} has no record of how it was made" for file in lost),
        *(f"{b.file} {b.reason}" for b in broken),
    ]
    if problems:
        shown = "; ".join(problems[:5]) + ("; ..." if problems[5:] else "")
        raise UserError(f"no RO-Crate is written: {shown}. `reprior trace FILE` says what to make anew")
