"""Messages that ask the user to do something."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

from reprior.acquire.registry import Source, Variant
from reprior.errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)


def how_to_place(
    name: str, source: Source, wanted: Sequence[Variant], folder: Path, failures: Sequence[str]
) -> UserError:
    """No place has the file. Says what was tried, how the file is recognised, and where to put it."""
    several = " any one of these files" if len(wanted) > 1 else " this file"
    lines = [f"{name}: could not be fetched:", *(f"  - {failure}" for failure in failures)]
    lines += [f"Get{several} and put it into the folder {folder}/, then run again:"]
    lines += [line for variant in wanted for line in _described(source, variant)]
    lines += [f"  licence  {source.licence}"] + ([f"  about    {source.page}"] if source.page else [])
    return UserError("\n".join(lines))


def _described(source: Source, variant: Variant) -> Iterator[str]:
    yield f"  file     {variant.file}"
    for key, fact in variant.facts().items():
        yield f"  {key:<8} {fact}"
    if variant not in source.accepts:
        yield "           (pinned in sources.lock on first use; if the publisher changed it, remove its entry there)"
    for address in variant.addresses or ("no public address",):
        yield f"  address  {address}"
    if variant.note:
        yield f"  note     {variant.note}"


def cannot_write(error: OSError, target: Path) -> UserError:
    """The file cannot be written. The advice depends on the cause."""
    path = Path(error.filename or target)
    if error.errno in _NO_ROOM:
        remedy = "free some space and run again; what is already downloaded is kept"
    elif error.errno in _NOT_ALLOWED:
        remedy = "make it writable, or name another folder as `data` in config.yaml"
    else:
        remedy = "fix that and run again"
    return UserError(f"{target}: cannot be stored: {path}: {error.strerror or error}; {remedy}")
