"""Compares `reprior plan` with Snakemake: the number of jobs, and the bytes that a run writes."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from reprior.planning.footprint import alone, disk, jobs
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.planning.step_times import TABLE, read_rows

pytestmark = pytest.mark.slow


def plan_of(project, **config) -> Plan:
    return make_plan(project.folder, {**yaml.safe_load((project.folder / "config.yaml").read_text()), **config})


def rules(project, **config) -> Counter[str]:
    """The number of jobs per rule that Snakemake would run."""
    given = ["--config", *(f"{key}={value}" for key, value in config.items())] if config else []
    found: Counter[str] = Counter()
    for (rule, _), count in project.planned(*given).items():
        found[rule] += count
    return found


@pytest.mark.parametrize("scale", ["demo", "small", "full"])
def test_jobs_are_those_that_snakemake_counts(house, tmp_path: Path, scale: str) -> None:
    empty = {"scale": scale, "data": f"{tmp_path}/data", "results": f"{tmp_path}/results"}
    assert jobs(plan_of(house, **empty)) == rules(house, **empty)


def test_studies_share_jobs(finished, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "both", ignore=shutil.ignore_patterns("data", "results"))
    both = type(finished)(tmp_path / "both")
    shutil.copytree(both.folder / "studies/mine", both.folder / "studies/other")
    plan = plan_of(both, studies=["mine", "other"])
    assert jobs(plan) == rules(both, studies="[mine,other]")
    assert jobs(alone(plan, "other")) == rules(both, studies="[other]")
    assert jobs(plan).total() == 2 * jobs(alone(plan, "mine")).total() - 3  # aggregate, report and all


def test_disk_is_what_a_run_writes(finished, root: Path) -> None:
    found = (path for name in ("data", "results") for path in (finished.folder / name).rglob("*") if path.is_file())
    written = [path for path in found if path.parent.name != ".provenance"]  # some kB per job
    sizes = {path: path.stat().st_size for path in written}
    found = disk(plan_of(finished), {row.key: row for row in read_rows(root / TABLE)})
    images = sum(size for path, size in sizes.items() if path.is_relative_to(finished.folder / "data/images"))
    observations = sum(size for path, size in sizes.items() if path.parent.name == "observation")
    tensors = sum(size for path, size in sizes.items() if path.suffix == ".safetensors")
    assert found.images == pytest.approx(images, rel=0.02)
    assert found.observations == pytest.approx(observations, rel=0.1)
    assert found.reconstructions == pytest.approx(tensors - images - observations, rel=0.05)
    assert found.total == pytest.approx(sum(sizes.values()), rel=0.2)
