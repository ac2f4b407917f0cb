"""What a file was made from, back to the downloads, from the job records; and whether the files still match them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reprior.provenance import Record, content, unchanged


@dataclass(frozen=True)
class Broken:
    """A file that does not match the records."""

    file: str
    reason: str
    remake: str
    """The file to remake, which repairs it."""


@dataclass(frozen=True)
class Lineage:
    """Job records by output file. Paths are relative to `root`."""

    root: Path
    records: Mapping[str, Record]
    hashes: dict[str, str] = field(default_factory=dict)
    """Hashes of files that no job made, each computed once."""

    def jobs(self, files: Iterable[str]) -> list[Record]:
        """Every job that led to these files, each once, from the files back to the first jobs."""
        found: dict[str, Record] = {}
        waiting = list(files)
        for file in waiting:  # the loop appends to it
            record = self.records.get(file)
            if record is not None and name(record) not in found:
                found[name(record)] = record
                waiting += record["inputs"]
        return list(found.values())

    def makers(self, record: Record) -> list[Record]:
        """The jobs that made the inputs of this job, each once, the latest first."""
        made = (self.records[file] for file in record["inputs"] if file in self.records)
        each = {name(maker): maker for maker in made}.values()
        return sorted(each, key=lambda maker: datetime.fromisoformat(maker["started"]), reverse=True)

    def lost(self, files: Iterable[str]) -> list[str]:
        """The files without a record: no job made them, or it left no record."""
        return [file for file in files if file not in self.records]

    def broken(self, record: Record) -> Iterator[Broken]:
        """Outputs and inputs of a job that have changed."""
        for file, known in record["outputs"].items():
            reason = self._changed(file, known)
            if reason:
                yield Broken(file, reason, remake=file)
        for file, sha256 in record["inputs"].items():
            reason = self._another(file, sha256)
            if reason:
                yield Broken(file, f"{reason} {name(record)} was made from it", remake=name(record))

    def _changed(self, file: str, known: Mapping[str, object]) -> str:
        path = self.root / file
        if not path.is_file():
            return "is gone"
        same = unchanged(path, known) or content(path)["sha256"] == known["sha256"]
        return "" if same else "is not what its job wrote"

    def _another(self, file: str, sha256: str) -> str:
        """Why an input is not the file that was read; empty if it is. If the input has a record, that is compared."""
        maker, path = self.records.get(file), self.root / file
        if maker is not None:
            return "" if maker["outputs"][file]["sha256"] == sha256 else "was remade after"
        if not path.is_file():
            return "is gone since"
        if file not in self.hashes:
            self.hashes[file] = content(path)["sha256"]
        return "" if self.hashes[file] == sha256 else "has changed since"


def name(record: Record) -> str:
    """The file that names a job: its first output, such as a reconstruction's images or a training's weights."""
    return str(record["result"])
