"""Fetches one download from a local folder, a mirror or the network. It gets its name only after it is verified."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reprior.acquire import mirrors as on_disk
from reprior.acquire.advice import cannot_write, how_to_place
from reprior.acquire.fingerprint import Fingerprint, fingerprint, objection
from reprior.acquire.lock import Lock
from reprior.acquire.part import clear
from reprior.acquire.patience import PATIENT, Patience, Refused
from reprior.acquire.registry import Source, Variant, known_source

LOCK = "sources.lock"
MANUAL = "manual"


def acquire(
    source: str, raw: Path, *, mirrors: Sequence[Path] = (), offline: bool = False, patience: Patience = PATIENT
) -> Path:
    """Put the download `source` under its name into the folder `raw`; UserError if no place has it.

    Looks in this order: `raw` itself, the folder `manual` beside it, the folders `mirrors` with all subfolders, the
    https addresses, Google Drive. `offline` leaves out the last two. Records the result in `sources.lock` beside `raw`.
    """
    return _Acquisition(source, known_source(source), raw, mirrors, None if offline else patience).run()


@dataclass(frozen=True)
class _Got:
    """The file that is now at the target."""

    file: str
    found: Fingerprint
    origin: str


class _Acquisition:
    def __init__(
        self, name: str, source: Source, raw: Path, mirrors: Sequence[Path], patience: Patience | None
    ) -> None:
        self.name, self.source, self.mirrors = name, source, mirrors
        self.patience = patience
        """For the network; None if it must not be used."""
        self.target, self.manual = raw / name, raw.parent / MANUAL
        self.lock = Lock(raw.parent / LOCK)
        self.wanted = self.lock.pinned(name, source.accepts)
        self.failures: list[str] = []
        """Each place that was tried, and why it failed."""

    def run(self) -> Path:
        if self.name not in self.lock.entries():
            self._say(f"licence: {self.source.licence}" + (f" ({self.source.page})" if self.source.page else ""))
        try:
            got = self._placed() or self._mirrored() or self._downloaded()
            if got is None:
                raise how_to_place(self.name, self.source, self.wanted, self.manual, self.failures)
            clear(self.target)
            self.lock.record(self.name, got.file, got.found, got.origin, self.source.licence)
        except OSError as error:
            raise cannot_write(error, self.target) from error
        return self.target

    def _placed(self) -> _Got | None:
        """Take the file if it is at the target, or has the publisher's name in the same folder or in `manual`."""
        for path in self._places():
            found = fingerprint(path)
            wanted = self._recognised(path, found)
            if wanted is not None:
                return self._moved(path, wanted, found)
        return None

    def _places(self) -> Iterator[Path]:
        named = (folder / wanted.file for folder in (self.target.parent, self.manual) for wanted in self.wanted)
        return (path for path in dict.fromkeys((self.target, *named)) if path.is_file())

    def _recognised(self, path: Path, found: Fingerprint) -> Variant | None:
        """Which variant the file is; None if it is a wrong file. A wrong file at the target is renamed."""
        objections = {wanted: objection(path, found, wanted) for wanted in self.wanted}
        right = next((wanted for wanted, wrong in objections.items() if not wrong), None)
        if right is None:
            where = _set_aside(path) if path == self.target else path
            renamed = f"; it was renamed to {where.name}" if where != path else ""
            self._fail(str(path), f"not the right file: {' / '.join(dict.fromkeys(objections.values()))}{renamed}")
        return right

    def _moved(self, path: Path, wanted: Variant, found: Fingerprint) -> _Got:
        if path != self.target:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.replace(self.target)
            except OSError:  # on another disk, or in a read-only folder
                on_disk.copy(path, self.target, found)
            self._say(f"taken from {path}")
        return _Got(wanted.file, found, f"placed by hand as {path}")

    def _mirrored(self) -> _Got | None:
        """Copy the file from a mirror that has it, found by size and hash."""
        match = on_disk.find(self.wanted, (self.manual, *self.mirrors))
        if match is None:
            for folder in self.mirrors:
                said = "nothing of the right size and hash" if folder.is_dir() else "there is no such folder"
                self._fail(f"mirror {folder}", said)
            return None
        path, wanted, found = match
        on_disk.copy(path, self.target, found)
        self._say(f"copied from {path}")
        return _Got(wanted.file, found, str(path))

    def _downloaded(self) -> _Got | None:
        if self.patience is None:
            self.failures.append("the network was not used: offline")
            return None
        from reprior.acquire.network import downloads

        for wanted in self.wanted:
            for address, download in downloads(wanted, self.target, self.patience):
                self._say(f"downloading {address}")
                try:
                    return _Got(wanted.file, download(), address)
                except Refused as reason:
                    self._fail(address, str(reason))
        return None

    def _fail(self, where: str, why: str) -> None:
        self.failures.append(f"{where}: {why}")
        self._say(self.failures[-1])

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)


def _set_aside(path: Path) -> Path:
    """Rename a file to a free name. Returns the new path."""
    names = (path.with_name(f"{path.name}.wrong{number or ''}") for number in range(1000))
    free = next(name for name in names if not name.exists())
    return path.rename(free)
