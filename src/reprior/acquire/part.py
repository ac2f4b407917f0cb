"""Unfinished downloads, kept until they are complete and verified."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import shutil
from pathlib import Path

from reprior.acquire.fingerprint import Fingerprint, Hasher
from reprior.acquire.registry import Variant
from reprior.errors import UserError

_DIGITS = 12


class Part:
    """A hidden file that grows during a download and is hashed on the way. A later run can resume it.

    Only one process at a time can open it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not buffered: no written bytes are lost if the process is killed, and a full disk is noticed at once.
        self._file = path.open("ab+", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UserError(f"{path}: another process is downloading this; wait until it is done") from error
        self._hasher = Hasher()
        self._file.seek(0)
        shutil.copyfileobj(self._file, self._hasher)

    @property
    def size(self) -> int:
        """Number of bytes in the file."""
        return self._hasher.size

    @property
    def fingerprint(self) -> Fingerprint:
        """Size and hashes of the file."""
        return self._hasher.fingerprint()

    def append(self, data: bytes) -> None:
        """Write the next bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hasher.write(data)

    def restart(self) -> None:
        """Empty the file."""
        self._file.truncate(0)
        self._hasher = Hasher()

    def discard(self) -> None:
        """Remove the file because its content is wrong."""
        self.path.unlink()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self.size == 0:
            self.path.unlink(missing_ok=True)


def unfinished(address: str, wanted: Variant, target: Path, suffix: str) -> Path:
    """Hidden path for a download until it is verified. Each address and expected content has its own."""
    key = hashlib.sha256(f"{address} {wanted.facts()}".encode()).hexdigest()[:_DIGITS]
    return target.with_name(f".{target.name}.{key}{suffix}")


def clear(target: Path) -> None:
    """Remove the unfinished downloads of `target`."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * _DIGITS}.*"):
        path.unlink(missing_ok=True)


def publish(path: Path, target: Path) -> None:
    """Give a verified file its final name. Safe against a power failure."""
    _sync(path)
    path.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
