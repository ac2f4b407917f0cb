"""Runs the tests that are skipped on machines without a GPU."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from gpu_check.parts import Check

CONDITION = "cuda.is_available"


def check(check: Check) -> None:
    """Find the tests that need CUDA, and run them with pytest if there is one."""
    tests = {
        path: names for path in sorted((check.settings.root / "tests").rglob("test_*.py")) if (names := needing(path))
    }
    count = sum(map(len, tests.values()))
    if missing("pytest"):
        check.skipped(f"{count} tests", "pytest is not installed")
        return
    if not check.cuda:
        check.skipped(f"{count} tests", "they need a GPU")
        return
    chosen: list[str] = []
    for path, names in tests.items():
        name = str(path.relative_to(check.settings.root))
        if lacking := [package for package in imported(path) if missing(package)]:
            check.skipped(name, f"{', '.join(lacking)} is not installed")
        else:
            chosen += [f"{name}::{each}" for each in names]
    if chosen:
        run(check, chosen)


def needing(path: Path) -> list[str]:
    """The names of a file's tests that are skipped without CUDA."""
    text = path.read_text(encoding="utf-8")
    if CONDITION not in text:
        return []
    tree = ast.parse(text)
    marks = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and CONDITION in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [each.name for each in functions if any(_is_condition(mark, marks) for mark in each.decorator_list)]


def _is_condition(decorator: ast.expr, marks: set[str]) -> bool:
    return CONDITION in ast.unparse(decorator) or (isinstance(decorator, ast.Name) and decorator.id in marks)


def imported(path: Path) -> list[str]:
    """The packages that a file imports at its top, without their submodules."""
    found: dict[str, None] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        found |= dict.fromkeys(_packages(node))
    return [name for name in found if name != "tests"]


def _packages(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield (node.module or "").partition(".")[0]


def missing(package: str) -> bool:
    """Whether a package cannot be imported."""
    try:
        return importlib.util.find_spec(package) is None
    except (ImportError, ValueError):
        return True


def run(check: Check, tests: Sequence[str]) -> None:
    """Run tests in a process of their own. Without the project's conftest.py, which needs more packages."""
    root, report = check.settings.root, check.settings.out.resolve() / "cuda-tests.xml"
    report.unlink(missing_ok=True)
    flags = ["-q", "--noconftest", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--junitxml={report}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    command = [sys.executable, "-m", "pytest", *flags, *tests]
    patience = max(30.0, check.left)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=patience)
    if not report.is_file():
        raise RuntimeError(f"pytest ended with status {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    counts = counted(report)
    text = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    good = done.returncode == 0 and counts["passed"] > 0 and counts["skipped"] == 0
    check.judged(f"{len(tests)} test functions", text, "all passed", good, **counts)
    if not good:
        print(done.stdout[-6000:], flush=True)
        (check.settings.out / "cuda-tests.txt").write_text(done.stdout)


def counted(report: Path) -> dict[str, int]:
    """Numbers of tests by outcome, from a JUnit report."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    bad = {what: sum(int(suite.get(key, "0")) for suite in suites) for what, key in _OUTCOMES.items()}
    return {"passed": sum(int(suite.get("tests", "0")) for suite in suites) - sum(bad.values()), **bad}


_OUTCOMES = {"failed": "failures", "in error": "errors", "skipped": "skipped"}
