"""The folders of the package (rooms) import each other in one direction only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

AT_THE_TOP = {"__init__", "__main__", "cli", "errors", "loading", "seeds", "types"}


def test_no_room_imports_one_that_is_built_on_it(root: Path) -> None:
    package = root / "src" / "reprior"
    built_on: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        built_on.setdefault(room, set()).update(set(_imported_rooms(path)) - {room})
    order = list(TopologicalSorter(built_on).static_order())
    assert order[-1] == "__main__"


def test_no_module_stands_loose_at_the_top(root: Path) -> None:
    assert {path.stem for path in (root / "src" / "reprior").glob("*.py")} == AT_THE_TOP


def _imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "reprior" and len(parts) > 1:
                yield "__init__" if parts[1].startswith("__") else parts[1]
