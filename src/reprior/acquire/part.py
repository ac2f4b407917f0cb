"""The beginning of a download, kept until it is whole and verified."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
from pathlib import Path
from types import TracebackType

from reprior.acquire.fingerprint import Fingerprint, Hasher, chunks
from reprior.acquire.registry import Variant
from reprior.errors import UserError

_DIGITS = 12


class Part:
    """A hidden file that grows by what is downloaded and is hashed on the way. A later run goes on from it.

    Only one process at a time may have it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not buffered: what was written is on disk however the process ends, and a full disk is noticed at once.
        self._file = path.open("ab+", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UserError(f"{path}: another process is downloading this; wait until it is done") from error
        self._hasher = Hasher()
        self._file.seek(0)
        for chunk in chunks(self._file):
            self._hasher.update(chunk)

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return self._hasher.size

    @property
    def fingerprint(self) -> Fingerprint:
        """Size and hashes of what is there."""
        return self._hasher.fingerprint()

    def append(self, data: bytes) -> None:
        """Write the next bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hasher.update(data)

    def restart(self) -> None:
        """Forget everything."""
        self._file.truncate(0)
        self._hasher = Hasher()

    def discard(self) -> None:
        """Remove the file: it is proven wrong."""
        self.path.unlink()

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self.size == 0:
            self.path.unlink(missing_ok=True)


def unfinished(address: str, wanted: Variant, target: Path, suffix: str) -> Path:
    """Where a download is kept until it is verified: a hidden file of its own for each address and expected content."""
    key = hashlib.sha256(f"{address} {wanted.facts()}".encode()).hexdigest()[:_DIGITS]
    return target.with_name(f".{target.name}.{key}{suffix}")


def clear(target: Path) -> None:
    """Remove all that was begun for `target`: it is there."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * _DIGITS}.*"):
        path.unlink(missing_ok=True)


def publish(path: Path, target: Path) -> None:
    """Give a verified file its final name, in a way that holds even if the power fails now."""
    _sync(path)
    path.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
