"""Tables of numbers -> one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reprior.machine.files import write_text


def aggregate(parts: Sequence[Path], out: Path) -> None:
    """Join tables of numbers in the order given. Numbers are copied as they are written."""
    import pandas

    tables = [pandas.read_csv(part, dtype=str, keep_default_na=False) for part in parts]
    write_text(out, pandas.concat(tables).to_csv(index=False))
