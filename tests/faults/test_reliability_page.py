"""docs/reliability.md: every test it names exists, and it has every case of the rerun matrix."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.workflow.test_rerun_matrix import MATRIX

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.fixture(scope="module")
def sections(root: Path) -> dict[str, str]:
    """The page by its headings."""
    page = (root / "docs/reliability.md").read_text(encoding="utf-8")
    headed = (section.partition("\n") for section in page.split("\n## ")[1:])
    return {heading: text for heading, _, text in headed}


def rows(section: str) -> list[list[str]]:
    """The cells of a table, without the heading."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_named_test_exists(sections: dict[str, str], root: Path) -> None:
    named = NAMED.findall("".join(sections.values()))
    assert len(named) > 15
    assert [f"{file}::{name}" for file, name in named if name not in names_in(root / file)] == []


def test_every_fault_names_its_test(sections: dict[str, str]) -> None:
    faults = rows(sections["What a fault does"])
    assert len(faults) > 15
    assert [row for row in faults if len(row) != 4 or not NAMED.search(row[3])] == []


def test_the_rerun_matrix_is_that_of_its_tests(sections: dict[str, str]) -> None:
    told = [case for row in rows(sections["What an edit runs again"]) for case in re.findall(r"`(\w+)`", row[-1])]
    assert sorted(told) == sorted(MATRIX)
