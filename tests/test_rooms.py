"""The folders of the package (rooms) import each other in one direction only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from reprior.jobs.code_fingerprint import modules_of

AT_THE_TOP = {"__init__", "__main__", "cli", "errors", "loading", "seeds", "types"}


def test_no_room_imports_one_that_is_built_on_it(root: Path) -> None:
    """In the order in which docs/architecture.md lists the rooms."""
    package = root / "src" / "reprior"
    built_on: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        if path == package / "__init__.py":
            continue  # it only names the functions of api.py for type checkers: see the test below
        room = path.relative_to(package).parts[0].removesuffix(".py")
        built_on.setdefault(room, set()).update(set(_imported_rooms(path)) - {room})
    architecture = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^  (\w+)(?:/|\.py) ", architecture, re.MULTILINE)
    order = ["__init__", *listed, "__main__"]
    assert sorted(order) == sorted([*built_on, "__init__"])
    upwards = {
        room: {other for other in others if order.index(other) > order.index(room)} for room, others in built_on.items()
    }
    assert not {room: others for room, others in upwards.items() if others}


def test_the_package_itself_imports_nothing_of_its_own(root: Path) -> None:
    """All code of the package depends on it: an import there would make each edit rerun every job."""
    assert modules_of("reprior") == ("reprior",)


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
