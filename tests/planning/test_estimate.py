"""What `reprior plan` says: hours only from measurements, and what is not known. It does not import torch."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from reprior.planning import estimate
from reprior.planning.estimate import describe, hours, unmeasured
from reprior.planning.footprint import alone, disk, download_size, image_sets, jobs, unknown_bytes
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.planning.step_times import TABLE, Key, Row, Work, by_device, read_rows, tasks, write_rows
from reprior.planning.yaml_files import read_config

CONFIG = {"scale": "demo", "studies": ["iagan"]}


@pytest.fixture
def demo(root: Path) -> Plan:
    return make_plan(root, CONFIG)


def row(key: Key, device: str = "a GPU", seconds: float = 2.0) -> Row:
    return Row(device, 1, *key[:-1], key.operator, 4, seconds, 3.0, 100.0, 1000, "2026-01-31", "2.15")


def rows_of(plan: Plan) -> dict[Key, Row]:
    return {task.work.key: row(task.work.key) for task in tasks(plan)}


def test_hours_are_starts_and_steps(demo: Plan) -> None:
    expected = 0.0
    for case, cell in demo.cells():
        steps = case.images.spec.size * cell.spec.get("steps", 1)
        expected += len(case.images.batches) * 3.0 + steps * 2.0
    assert hours(demo, rows_of(demo))["reconstruct"] == pytest.approx(expected / 3600)


def test_what_is_not_measured_is_told_and_left_out(demo: Plan) -> None:
    known = rows_of(demo)
    left = {key: value for key, value in known.items() if not key.method.startswith("dip ")}
    missing = unmeasured(demo, left)
    assert {task.work.method["name"] for task in missing if task.work.method} == {"dip"}
    gone = sum(known[task.work.key].seconds_of(task) for task in missing) / 3600
    assert hours(demo, left)["reconstruct"] == pytest.approx(hours(demo, known)["reconstruct"] - gone)


def test_text_names_what_is_not_measured(demo: Plan, tmp_path: Path) -> None:
    known = [each for key, each in rows_of(demo).items() if not key.method.startswith("dip ")]
    write_rows(tmp_path / TABLE, known)
    text = describe(demo, tmp_path)
    assert "hours on a GPU, 1 thread" in text
    assert "iagan: reconstruct, dip, 64 px: fourier 2, bicubic 3, blur 1" in text
    reconstructing = hours(demo, {each.key: each for each in known})["reconstruct"]
    assert ["reconstruct", ">", f"{reconstructing:,.2f}"] in [line.split() for line in text.splitlines()]


def test_cells_that_are_left_out_are_told(demo: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Left out" not in describe(demo, tmp_path)
    monkeypatch.setattr(estimate, "left_out", lambda plan: {"no package": 3})
    assert "Left out, so counted nowhere above:\n  3 cells: no package\n" in describe(demo, tmp_path)


def test_no_measurement_gives_no_hours(demo: Plan, tmp_path: Path) -> None:
    text = describe(demo, tmp_path)
    assert "hours on" not in text
    assert "No GPU has been measured, so no GPU-hours can be given." in text
    assert "benchmarks/measure_steps.py --config scale=demo 'studies=[iagan]'" in text


def test_cpu_rows_give_no_gpu_hours(demo: Plan, tmp_path: Path) -> None:
    write_rows(tmp_path / TABLE, [replace(each, device="cpu (a CPU)") for each in rows_of(demo).values()])
    text = describe(demo, tmp_path)
    assert "hours on cpu (a CPU), 1 thread" in text
    assert "No GPU has been measured" in text
    assert "Not measured on" not in text


def test_columns_are_studies_and_all(root: Path, tmp_path: Path) -> None:
    for folder in ("studies", "scales", "recipes"):
        shutil.copytree(root / folder, tmp_path / folder)
    shutil.copytree(tmp_path / "studies/iagan", tmp_path / "studies/again")
    twice = make_plan(tmp_path, {**CONFIG, "studies": ["iagan", "again"]})
    head = next(line for line in describe(twice, tmp_path).splitlines() if line.split()[:1] == ["iagan"])
    assert head.split() == ["iagan", "again", "all"]


def test_planning_needs_no_torch(root: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from reprior.planning.estimate import describe
from reprior.planning.resolve import make_plan
root = Path({str(root)!r})
describe(make_plan(root, {CONFIG}), root)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_rates_and_step_counts_are_the_same_work() -> None:
    method = {"name": "dip", "steps": 100, "lr": 0.01, "noise": 0.03, "channels": 128}
    work = Work("reconstruct", 64, {"name": "gaussian", "ratio": 0.5}, method)
    assert replace(work, method={**method, "steps": 5, "lr": 0.1, "noise": 0.05}).key == work.key
    for other in (
        replace(work, method={**method, "channels": 16}),
        replace(work, operator={"name": "gaussian", "ratio": 0.6}),
        replace(work, generator={"name": "began"}),
        replace(work, size=128),
    ):
        assert other.key != work.key


def test_table_comes_back_as_written(tmp_path: Path) -> None:
    first, second = (
        row(Key("observe", "", "", 64, "blur width=9")),
        row(Key("reconstruct", "dip", "", 64, "blur, wide")),
    )
    write_rows(tmp_path / "table.csv", [second, replace(first, seconds=5.0), first])
    assert read_rows(tmp_path / "table.csv") == [first, second]
    assert by_device([first, replace(second, threads=2)]) == {
        "a GPU, 1 thread": {first.key: first},
        "a GPU, 2 threads": {second.key: replace(second, threads=2)},
    }


def test_no_table_is_an_empty_one(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "missing.csv") == []


def test_the_projects_own_table_is_sound(root: Path) -> None:
    rows = read_rows(root / TABLE)
    assert rows
    assert len({(each.where, each.key) for each in rows}) == len(rows)
    assert all(each.seconds > 0 for each in rows if each.stage != "observe")
    assert all(each.start_seconds > 0 and each.images > 0 and each.peak_mib > 0 for each in rows)
    assert all(each.bytes > 0 for each in rows if each.stage == "observe")


def test_gaps_are_not_counted(demo: Plan) -> None:
    study = demo.studies["iagan"]
    gaps = {name: replace(case, gap="too dear") for name, case in study.cases.items() if "sr" not in name}
    fewer = replace(demo, studies={"iagan": replace(study, cases={**study.cases, **gaps})})
    kept = {name for name, case in study.cases.items() if "sr" in name and case.gap is None}
    assert {task.case for task in tasks(fewer)} == kept
    assert jobs(fewer)["observe"] == sum(len(study.cases[name].images.batches) for name in kept)


def test_observations_are_bounded_until_measured(demo: Plan) -> None:
    cases = sum(1 for task in tasks(demo) if task.work.stage == "observe")
    images = sum(task.images for task in tasks(demo) if task.work.stage == "observe")
    assert disk(demo, {}).observations == images * 3 * 3 * 64 * 64 * 4
    assert unknown_bytes(demo, {}) == [f"observations of {cases} cases: taken as three images each, their upper bound"]
    assert disk(demo, rows_of(demo)).observations == images * 1000
    assert unknown_bytes(demo, rows_of(demo)) == []


def test_images_are_counted_once_a_set(demo: Plan) -> None:
    count = sum(images.spec.size for images in image_sets(demo))
    assert disk(demo, {}).images == count * 3 * 64 * 64 * 4
    assert count == sum(images.spec.size for images in demo.studies["iagan"].images.values())


def test_sizes_of_downloads_are_those_of_the_registry() -> None:
    assert download_size("celeba/csgm_celebAtest.zip") == 444_997
    assert download_size("my/photos.zip") is None


def test_downloads_of_no_known_size_are_told(root: Path) -> None:
    full = make_plan(root, {**CONFIG, "scale": "full"})
    unknown = unknown_bytes(full, {})
    assert [f"size of the download {name}" in unknown for name in full.downloads] == [
        download_size(name) is None for name in full.downloads
    ]
    assert disk(full, {}).downloads == sum(download_size(name) or 0 for name in full.downloads)


@pytest.fixture
def bench(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_steps", root / "benchmarks/measure_steps.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Pretended:
    """A clock and the work that it times: a start of 10 s, 0.5 s per image and step, memory for three images."""

    def __init__(self) -> None:
        self.seconds, self.calls = 10.0, 0

    def __call__(self, images: int, steps: int) -> None:
        self.calls += 1
        if images > 3:
            self.seconds += 7.0
            raise RuntimeError("CUDA out of memory")
        self.seconds += 0.5 * images * steps

    def now(self) -> float:
        return self.seconds

    forget_peak = staticmethod(lambda: None)


def test_a_batch_that_does_not_fit_is_halved(bench: ModuleType) -> None:
    work = Pretended()
    assert bench.timed(work, 10, work, 1.0) == {"images": 3, "seconds": 0.5, "start_seconds": 10.0}


def test_other_errors_are_not_taken_for_lack_of_memory(bench: ModuleType) -> None:
    def broken(images: int, steps: int) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        bench.timed(broken, 10, Pretended(), 1.0)


@pytest.mark.slow
def test_measured_rows_are_found_by_the_plan(root: Path, demo: Plan, tmp_path: Path) -> None:
    command = [sys.executable, root / "benchmarks/measure_steps.py", "--config", "scale=demo", "--device", "cpu"]
    limits = ["--images", "1", "--seconds", "0.01", "--only", "size=64 64 blur", "--table", tmp_path / "t.csv"]
    done = subprocess.run([*command, *limits], check=True, capture_output=True, text=True)
    assert "NOT MEASURED" not in done.stdout
    known = {each.key: each for each in read_rows(tmp_path / "t.csv")}
    blurred = [task for task in tasks(demo) if task.work.generator and task.work.operator["name"] == "blur"]
    assert {task.work.key for task in blurred} == set(known)
    assert hours(demo, known)["reconstruct"] > 0
    again = subprocess.run([*command, *limits], check=True, capture_output=True, text=True)
    assert again.stdout.count("known") == len(known)


BUDGET = 100
"""Core seconds that a study may take at demo scale: docs/benchmarks.md."""
WARM_JOB = 0.35
"""Core seconds that a fork of the warm parent takes in addition to its work: docs/benchmarks.md."""


def test_each_study_keeps_its_budget_at_demo_scale(root: Path) -> None:
    """Uses the plan's estimate on every CPU for which all kinds of work were measured."""
    plan = make_plan(root, read_config(root, ["scale=demo"]))
    cpus = {where: known for where, known in by_device(read_rows(root / TABLE)).items() if where.endswith("1 thread")}
    keys = {task.work.key for task in tasks(plan)}
    measured = [where for where, known in cpus.items() if keys <= known.keys()]
    assert measured, "measure what is missing: benchmarks/measure_steps.py --config scale=demo --device cpu"
    for study, where in itertools.product(plan.studies, measured):
        work, known = list(tasks(alone(plan, study))), cpus[where]
        computing = sum(task.images * task.steps * known[task.work.key].seconds for task in work)
        starting = WARM_JOB * sum(len(task.batches) for task in work)
        assert computing + starting <= BUDGET, (
            f"{study} on {where}: {computing:.0f} s of work and {starting:.0f} s of jobs"
        )
