"""Finds downloads that are already on this machine under any name, by size and then hash."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from reprior.acquire.fingerprint import HEAD, Fingerprint, fingerprint, objection, unlikely
from reprior.acquire.registry import Variant
from reprior.errors import UserError
from reprior.machine.files import written_atomically

Found = tuple[Path, Variant, Fingerprint]


def find(variants: Sequence[Variant], folders: Sequence[Path]) -> Found | None:
    """The first file in the folders and their subfolders that is one of the variants. Prefers an earlier variant."""
    files = [file for folder in folders for file in _files(folder)]
    for wanted in variants:
        for path, size in files:
            if _possible(path, size, wanted):
                found = fingerprint(path)
                if not objection(path, found, wanted):
                    return path, wanted, found
    return None


def copy(path: Path, target: Path, expected: Fingerprint) -> None:
    """Copy a file; `target` gets its name only if the copy has the `expected` fingerprint."""
    with written_atomically(target) as temporary:
        shutil.copyfile(path, temporary)
        if fingerprint(temporary) != expected:
            raise UserError(f"{path}: changed while it was copied to {target}; run again")


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every readable regular file below `folder` with its size, in order of name."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            if path.is_file() and os.access(path, os.R_OK):
                yield path, path.stat().st_size


def _possible(path: Path, size: int, wanted: Variant) -> bool:
    """Whether the file is worth hashing. If no size is published, its first bytes must fit the kind of file."""
    if wanted.size is not None:
        return size == wanted.size
    if not wanted.sha256_prefix:
        return False
    with path.open("rb") as file:
        return not unlikely(file.read(HEAD), size, wanted)
