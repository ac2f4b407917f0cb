"""How long to wait for a server, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again."""

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    """Time without any new byte."""
    tries: int = 4
    """Number of failures in a row, without any new byte, after which an address is given up."""
    pause_seconds: float = 1.0
    """Pause before the next try. It doubles after each failure without a new byte."""


PATIENT = Patience()


class Refused(Exception):  # noqa: N818 - not an error: the next address may have the file
    """An address does not give the file. The message says why."""
