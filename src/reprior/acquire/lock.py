"""data/sources.lock: the file, origin, date and licence of each download. Pins files without a published hash."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from reprior.acquire.fingerprint import Fingerprint
from reprior.acquire.registry import Variant
from reprior.errors import UserError
from reprior.machine.files import write_text

_HEADER = """\
# What was downloaded, and from where. If its publisher gives no hash, a file must have the hash recorded here. If the
# publisher changed the file and you accept the new one, remove its entry.
"""


class Entry(BaseModel):
    """Record of one source."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: str
    """The publisher's name of the file."""
    size: int
    sha256: str
    origin: str
    """The address, or the path in a mirror."""
    licence: str
    date: str


_ENTRIES = TypeAdapter(dict[str, Entry])


class Lock:
    """The lock file at `path`. Several processes may write to it at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Mapping[str, Entry]:
        """All records by source; UserError if the file is damaged."""
        if not self.path.exists():
            return {}
        try:
            return _ENTRIES.validate_python(yaml.safe_load(self.path.read_text(encoding="utf-8")) or {})
        except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
            raise UserError(
                f"{self.path}: is damaged; repair it, or remove it to pin all downloads again: {error}"
            ) from error

    def pinned(self, source: str, variants: Sequence[Variant]) -> tuple[Variant, ...]:
        """The variants. If one has no complete published hash, it gets the recorded size and hash."""
        entry = self.entries().get(source)
        pin = {"size": entry.size, "sha256": entry.sha256} if entry else {}
        return tuple(
            v.model_copy(update=pin) if entry and entry.file == v.file and not v.hashed else v for v in variants
        )

    def record(self, source: str, file: str, found: Fingerprint, origin: str, licence: str) -> None:
        """Record a download, unless the same hash is already recorded."""
        with self._alone():
            entries = dict(self.entries())
            if source in entries and entries[source].sha256 == found.sha256:
                return
            entries[source] = Entry(
                file=file,
                size=found.size,
                sha256=found.sha256,
                origin=origin,
                licence=licence,
                date=date.today().isoformat(),
            )
            content = {name: entry.model_dump() for name, entry in sorted(entries.items())}
            write_text(self.path, _HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.guard").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield
