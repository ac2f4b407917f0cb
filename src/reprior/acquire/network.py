"""Downloads over the network. A file gets its name only after it is verified."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from reprior.acquire import drive, https
from reprior.acquire.fingerprint import Fingerprint, fingerprint, objection
from reprior.acquire.part import Part, publish, unfinished
from reprior.acquire.patience import Patience, Refused
from reprior.acquire.registry import Variant


def downloads(wanted: Variant, target: Path, patience: Patience) -> Iterator[tuple[str, Callable[[], Fingerprint]]]:
    """Each address of a file, with a function that downloads it from there to `target` or raises Refused."""
    for url in wanted.urls:
        yield url, partial(_from_https, url, wanted, target, patience)
    if wanted.gdrive:
        yield wanted.addresses[-1], partial(_from_drive, wanted.gdrive, wanted, target, patience)


def _from_https(url: str, wanted: Variant, target: Path, patience: Patience) -> Fingerprint:
    with Part(unfinished(url, wanted, target, ".part")) as part:
        resumed = part.size > 0
        _check_room(target.parent, wanted, part.size)
        wrong = _attempt(url, part, wanted, patience)
        if wrong and resumed:  # perhaps only the bytes of the earlier run are wrong
            part.restart()
            wrong = _attempt(url, part, wanted, patience)
        if wrong:
            part.discard()
            raise Refused(f"what came is not the right file: {wrong}")
        publish(part.path, target)
        return part.fingerprint


def _attempt(url: str, part: Part, wanted: Variant, patience: Patience) -> str:
    https.download(url, part, wanted.size, wanted.file, patience)
    return objection(part.path, part.fingerprint, wanted)


def _from_drive(file_id: str, wanted: Variant, target: Path, patience: Patience) -> Fingerprint:
    path = unfinished(file_id, wanted, target, ".drive")
    _check_room(target.parent, wanted, 0)
    drive.download(file_id, path, wanted.size, wanted.file, patience)
    found = fingerprint(path)
    wrong = objection(path, found, wanted)
    if wrong:
        drive.discard(path)
        raise Refused(f"what came is not the right file: {wrong}")
    publish(path, target)
    return found


def _check_room(folder: Path, wanted: Variant, there: int) -> None:
    """Fail now if the disk is too small, not after an hour of downloading."""
    folder.mkdir(parents=True, exist_ok=True)
    if wanted.size is not None and shutil.disk_usage(folder).free < wanted.size - there:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
