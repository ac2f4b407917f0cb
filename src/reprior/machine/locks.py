"""Lock files that keep processes apart. The kernel frees a lock when its process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from reprior.errors import UserError

_POLL_SECONDS = 0.5
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def job_lock(output: Path) -> Path:
    """The file that is locked while a process makes this output."""
    return output.with_name(f".{output.name}.working")


@contextmanager
def working_on(output: Path) -> Iterator[bool]:
    """Be the only process that makes `output`. Yields whether it had to wait for another process."""
    path, waited = job_lock(output), False
    path.parent.mkdir(parents=True, exist_ok=True)
    while (file := locked(path)) is None:
        if not waited:
            print(f"reprior: waiting for {holder(path)}, which makes {output}", file=sys.stderr, flush=True)
        waited = True
        time.sleep(_POLL_SECONDS)
    try:
        yield waited
    finally:
        path.unlink(missing_ok=True)
        file.close()


def locked(path: Path) -> IO[str] | None:
    """The file at `path`, locked, with a line that says by whom; None if another process has locked it."""
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:  # else its last holder removed it
            _sign(file)
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            f"{path}: this file system offers no locks (flock), without which two runs could write the same files;"
            " mount it with them, or put 'results' and 'data' elsewhere in config.yaml"
        ) from error
    file.close()
    return None


def is_locked(path: Path) -> bool:
    """Whether a living process has locked the file. The file is not changed."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def holder(path: Path) -> str:
    """Who has locked a file, as written in it."""
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except FileNotFoundError:
        return "another process"


def _sign(file: IO[str]) -> None:
    since = datetime.now().isoformat(sep=" ", timespec="seconds")
    with suppress(OSError):  # on a full disk, a lock without its holder's name still works
        file.truncate(0)
        os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}, since {since}".encode())
