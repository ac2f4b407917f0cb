"""Tables of numbers -> one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reprior.machine.files import write_text


def aggregate(parts: Sequence[Path], out: Path) -> None:
    """Join tables of numbers that share one heading, in the order given."""
    tables = [part.read_text(encoding="utf-8").splitlines() for part in parts]
    write_text(out, "\n".join([tables[0][0], *(row for table in tables for row in table[1:])]) + "\n")
