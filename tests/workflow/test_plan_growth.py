"""The planning time grows in proportion to the number of jobs."""

from __future__ import annotations

import importlib.util
import pstats
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from reprior.planning.footprint import jobs
from reprior.planning.resolve import make_plan
from tests.workflow.conftest import environment

pytestmark = pytest.mark.slow
PROFILED = """
import cProfile, sys
from snakemake.cli import main
profile = cProfile.Profile()
try:
    profile.runcall(main, sys.argv[2:])
finally:
    profile.dump_stats(sys.argv[1])
"""


@pytest.fixture(scope="module")
def bench(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("growth", root / "benchmarks/growth.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(folder: Path, images_per_job: int) -> dict:
    return {
        **{"scale": "full", "studies": ["iagan"], "images_per_job": images_per_job},
        **{"data": f"{folder}/data", "results": f"{folder}/results"},
    }


def our_calls(root: Path, folder: Path, images_per_job: int) -> int:
    """The number of calls of our functions (rules and package) in a dry run."""
    given = (f"{key}={value}" for key, value in config(folder, images_per_job).items())
    command = [sys.executable, "-c", PROFILED, str(folder / "profile"), "-n", "-q", "rules", "--config", *given]
    subprocess.run(command, cwd=root, env=environment(), capture_output=True, check=True)
    stats = pstats.Stats(str(folder / "profile")).stats  # type: ignore[attr-defined]  # is not in its types
    ours = (str(root / "src"), str(root / "workflow"), str(root / "Snakefile"))
    return sum(calls for (file, _, _), (_, calls, *_) in stats.items() if file.startswith(ours))


def test_our_part_of_planning_is_so_much_a_job(root: Path, tmp_path: Path) -> None:
    sizes = (100, 50, 20)
    calls = [our_calls(root, tmp_path, size) for size in sizes]
    counts = [jobs(make_plan(root, config(tmp_path, size))).total() for size in sizes]
    few, many = ((calls[i + 1] - calls[i]) / (counts[i + 1] - counts[i]) for i in range(2))
    assert 1 < few < 500
    assert many < 1.2 * few


def test_ten_thousand_jobs_would_be_planned_within_a_minute(bench: ModuleType, tmp_path: Path) -> None:
    """A minute of CPU time; 20 s on an idle machine. Plans a quarter of the jobs: the time is proportional to them."""
    bench.project(tmp_path, 170, cases=2, methods=bench.METHODS, per_job=1)
    count, seconds = bench.dry_run(tmp_path)
    assert count > 2_500
    assert seconds < 60 * count / 10_000


def test_a_finished_plan_is_found_finished(bench: ModuleType, tmp_path: Path) -> None:
    bench.project(tmp_path, 20, cases=2, methods=bench.METHODS, per_job=1)
    assert bench.nothing_to_do(tmp_path) < 30  # CPU seconds; 3 on an idle machine
