"""What a file was made from, back to the downloads, by the records that the jobs left; and whether that still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reprior.provenance import Record, content, unchanged


@dataclass(frozen=True)
class Broken:
    """A link of the chain that does not hold."""

    file: str
    reason: str
    remake: str
    """The file whose making anew mends it."""


@dataclass(frozen=True)
class Lineage:
    """Job records by the files that they speak of, whose paths are relative to `root`."""

    root: Path
    records: Mapping[str, Record]
    hashes: dict[str, str] = field(default_factory=dict)
    """Of files that no job made, each computed once."""

    def jobs(self, files: Iterable[str]) -> list[Record]:
        """Every job behind these files, each once, what was made later before what it was made from."""
        found: dict[str, Record] = {}
        waiting = list(files)
        for file in waiting:  # which grows meanwhile
            record = self.records.get(file)
            if record is not None and name(record) not in found:
                found[name(record)] = record
                waiting += record["inputs"]
        return list(found.values())

    def makers(self, record: Record) -> list[Record]:
        """The jobs that made what this one read, each once, the latest first."""
        made = (self.records[file] for file in record["inputs"] if file in self.records)
        each = {name(maker): maker for maker in made}.values()
        return sorted(each, key=lambda maker: datetime.fromisoformat(maker["started"]), reverse=True)

    def lost(self, files: Iterable[str]) -> list[str]:
        """Those of the files that no job made, or none that left a record."""
        return [file for file in files if file not in self.records]

    def broken(self, record: Record) -> Iterator[Broken]:
        """What has changed of the files that a job made, and of those that it read."""
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
        """Why an input is not the one that was read; its maker's record speaks for a file that has one."""
        maker, path = self.records.get(file), self.root / file
        if maker is not None:
            return "" if maker["outputs"][file]["sha256"] == sha256 else "was made anew after"
        if not path.is_file():
            return "is gone since"
        if file not in self.hashes:
            self.hashes[file] = content(path)["sha256"]
        return "" if self.hashes[file] == sha256 else "has changed since"


def name(record: Record) -> str:
    """The file that stands for a job: of a reconstruction its images, of a training the weights."""
    return str(record["result"])
