"""Job records: inputs, code and machine of each job. One JSON per job, in `.provenance` next to its outputs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from reprior.machine.files import read_json, write_json

FOLDER = ".provenance"
Record = dict[str, Any]
_ESSENTIAL = {"stage", "settings", "inputs", "outputs", "code", "modules", "result"}


def record_path(output: Path) -> Path:
    """The path of the record of the job whose first output this is."""
    return output.parent / FOLDER / f"{output.name}.json"


def aside_path(output: Path) -> Path:
    """The path to which a damaged or unknown output is moved until it has been remade."""
    return output.with_name(f".{output.name}.damaged")


def read_record(output: Path) -> Record | None:
    """The record of the job whose first output this is; None if there is no readable record."""
    try:
        record = read_json(record_path(output))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) and record.keys() >= _ESSENTIAL else None


def read_records(*folders: Path) -> dict[str, Record]:
    """Every record below the folders, by each of its outputs."""
    found: dict[str, Record] = {}
    for folder in folders:
        for path in folder.rglob(f"{FOLDER}/[!.]*.json"):  # without half-written files of killed jobs
            record = read_record(path.parent.parent / path.name.removesuffix(".json"))
            found.update(dict.fromkeys(record["outputs"], record) if record else {})
    return found


def content(path: Path) -> dict[str, Any]:
    """The hash of a file, and its size and time, which later show cheaply whether it may have changed."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, **_seen(path)}


def unchanged(path: Path, known: Mapping[str, Any]) -> bool:
    """Whether size and time of a file are still those recorded with its hash."""
    return _seen(path) == {key: known[key] for key in ("bytes", "mtime_ns")}


def sha256_of(path: Path) -> str:
    """The hash of a file: from the record of its job if size and time still match, else computed."""
    record = read_record(path)
    known = record["outputs"].get(path.as_posix()) if record else None
    if record and known and unchanged(path, known):
        return str(known["sha256"])
    found = content(path)
    if record and known and found["sha256"] == known["sha256"]:
        with suppress(OSError):  # the record may be another user's: then the file is hashed again next time
            note_again(record, path, found)
    return str(found["sha256"])


def write_record(outputs: Iterable[Path], facts: Mapping[str, Any]) -> None:
    """Record `facts` and the hashes of the files that a job has made."""
    paths = list(outputs)
    contents = {path.as_posix(): content(path) for path in paths}
    write_json(record_path(paths[0]), {**facts, "result": paths[0].as_posix(), "outputs": contents})


def note_again(record: Record, output: Path, found: Mapping[str, Any]) -> None:
    """Record the new time of an unchanged output. Snakemake touches every output when its job has ended."""
    outputs = {**record["outputs"], output.as_posix(): dict(found)}
    write_json(record_path(Path(record["result"])), {**record, "outputs": outputs})
    record["outputs"] = outputs


@cache
def commit() -> str | None:
    """The git commit of this package's source, with `-dirty` if files were edited since; None without git."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _seen(path: Path) -> dict[str, int]:
    found = path.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
