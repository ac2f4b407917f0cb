"""Downloads that lie somewhere on this machine already, under whatever name: found by size, then hash."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from reprior.acquire.fingerprint import HEAD, Fingerprint, Hasher, chunks, fingerprint, objection, unlikely
from reprior.acquire.registry import Variant
from reprior.errors import UserError
from reprior.machine.files import written_atomically

Found = tuple[Path, Variant, Fingerprint]


def find(variants: Sequence[Variant], folders: Sequence[Path]) -> Found | None:
    """The first file in the folders and below that is one of the variants; an earlier variant is preferred."""
    files = [file for folder in folders for file in _files(folder)]
    for wanted in variants:
        for path, size in files:
            if _possible(path, size, wanted):
                found = fingerprint(path)
                if not objection(path, found, wanted):
                    return path, wanted, found
    return None


def copy(path: Path, target: Path, expected: Fingerprint) -> None:
    """Copy a file that was recognised, whole or not at all."""
    hasher = Hasher()
    with written_atomically(target) as temporary, path.open("rb") as source, temporary.open("wb") as file:
        for chunk in chunks(source):
            hasher.update(chunk)
            file.write(chunk)
        if hasher.fingerprint() != expected:
            raise UserError(f"{path}: changed while it was copied to {target}; run again")


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every readable plain file below `folder` with its size, in the order of their names."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            if path.is_file() and os.access(path, os.R_OK):
                yield path, path.stat().st_size


def _possible(path: Path, size: int, wanted: Variant) -> bool:
    """Whether it is worth hashing the file. Without a published size, its first bytes must be of the right kind."""
    if wanted.size is not None:
        return size == wanted.size
    if not wanted.sha256_prefix:
        return False
    with path.open("rb") as file:
        return not unlikely(file.read(HEAD), size, wanted)
