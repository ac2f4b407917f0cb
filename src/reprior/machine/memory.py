"""How this process reuses its memory."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 256 * 2**20


def keep_freed_memory() -> None:
    """Let glibc reuse freed blocks of up to 256 MiB instead of returning them to the system.

    An optimisation frees and allocates the same blocks in every step. Without this, page faults cost up to a quarter of
    its time on the CPU (docs/benchmarks.md). Without glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEPT)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
