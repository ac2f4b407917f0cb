"""When to wait for a server, when to try again, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again."""

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    """Time without a single byte."""
    tries: int = 4
    """How often an address may fail in succession without having sent anything new."""
    pause_seconds: float = 1.0
    """Before a further try; doubled each time that nothing new came."""


PATIENT = Patience()


class Refused(Exception):  # noqa: N818 - not an error: the next address may have the file
    """An address does not give the file; says why."""
