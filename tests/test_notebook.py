"""The notebook runs from top to bottom, and says what it says in its saved outputs."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples/notebook.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_is_saved_in_it() -> None:
    plt.close("all")  # what other tests left open
    space: dict[str, Any] = {}
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    with plt.rc_context({"backend": "agg"}):
        for number, cell in enumerate(cells, 1):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"), space)
            saved = "".join(line for output in cell["outputs"] for line in output.get("text", []))
            assert words(printed.getvalue()) == words(saved)
            pictures = [output for output in cell["outputs"] if "image/png" in output.get("data", {})]
            assert len(plt.get_fignums()) == len(pictures)
            plt.close("all")
            for before, now in zip(numbers(saved), numbers(printed.getvalue()), strict=True):
                assert now == pytest.approx(before, abs=0.3), "PSNR and residuals, up to rounding on another machine"


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]
