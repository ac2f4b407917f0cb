"""Makes one table or figure of a study from the results on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reprior.loading import load
from reprior.render.context import Context


def render(spec: Mapping[str, Any], reported: Path, out: Path) -> None:
    """Write an artifact's files, `out` plus each suffix of its kind, and `out`.json, which the report reads.

    `spec` says what is shown and where its results are. `reported` is the csv of the paper's numbers.
    """
    load("artifact", spec["kind"])(Context(spec, reported, out), **spec["settings"])
