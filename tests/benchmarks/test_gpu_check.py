"""`make gpu-check` on a CPU: every part runs with the four packages that it needs, and failures are named."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reprior.planning.resolve import make_plan
from reprior.planning.step_times import Row, read_rows, tasks
from reprior.planning.yaml_files import read_config

ROOT = Path(__file__).parents[2]
PARTS = (
    *("machine", "cuda tests", "cpu and gpu", "graphs", "speed"),
    *("weights per image", "jobs per gpu", "resumption", "out of memory", "waits", "step times"),
)
NEEDED = {"torch", "numpy", "safetensors", "tqdm"}
"""The packages that docs/gpu.md names. torch brings others with it."""
WITHOUT = """
import runpy, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in %r else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
runpy.run_path("benchmarks/gpu_check", run_name="__main__")
"""
"""Runs the check as if these packages were not installed."""


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """As `python benchmarks/gpu_check` makes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


def ours() -> set[str]:
    """The packages that the project depends on, by the names of their modules."""
    modules = {"pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*about["dependencies"], *about["optional-dependencies"]["test"]]
    names = {requirement.partition(">")[0] for requirement in asked}
    return {modules.get(name, name.replace("-", "_")) for name in names}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The whole check in its quick form, as if no other package of the project were installed."""
    out = tmp_path_factory.mktemp("gpu-check")
    program = WITHOUT % (ours() - NEEDED | {"pydantic_core", "mpl_toolkits"},)
    command = [sys.executable, "-c", program, "--device", "cpu", "--quick", "--out", str(out)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    return done, out


def test_every_part_runs_with_four_packages(quick: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, out = quick
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"snakemake", "pydantic", "pandas", "matplotlib", "seaborn", "scipy", "yaml"} <= ours() - NEEDED
    findings = json.loads((out / "gpu-check.json").read_text())["findings"]
    assert list(dict.fromkeys(each["part"] for each in findings)) == list(PARTS)
    assert not [each for each in findings if each["state"] == "failed"]
    table = done.stdout.partition("\npart ")[2]
    for finding in findings:
        assert f"\n{finding['part']:<17}  {finding['what']}" in table
    skipped = [each["part"] for each in findings if each["state"] == "skipped"]
    assert skipped == ["machine", "cuda tests", "resumption"], "no GPU, and a method without checkpoints"
    assert "\n0 failed." in done.stdout


def test_its_rows_are_found_by_the_plan(quick: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path) -> None:
    import measure_steps
    from gpu_check import rows

    plan = make_plan(ROOT, read_config(ROOT, ["scale=full"]))
    listed = measure_steps.as_text(measure_steps.listed(plan))
    assert (ROOT / "benchmarks/full_scale_kinds.json").read_text() == listed, (
        "python benchmarks/measure_steps.py --config scale=full --list benchmarks/full_scale_kinds.json"
    )
    work = {task.work.key: task.work for task in tasks(plan)}
    kinds = list(rows.read_kinds(ROOT / "benchmarks/full_scale_kinds.json"))
    reconstructing = {key for key in work if key.stage == "reconstruct"}
    assert {("reconstruct", k.method, k.generator, k.work.size, k.operator) for k in kinds} == reconstructing
    assert tuple(field.name for field in fields(Row)) == rows.COLUMNS
    found = read_rows(quick[1] / "step_times.csv")
    assert len(found) == 2 and {row.key for row in found} <= reconstructing
    assert all(row.seconds > 0 and row.start_seconds > row.seconds and row.threads == 1 for row in found)
    for _ in range(2):
        measure_steps.add(quick[1] / "step_times.csv", tmp_path / "table.csv")
    assert read_rows(tmp_path / "table.csv") == sorted(found, key=lambda row: row.key)
    known = rows.in_table(tmp_path / "table.csv", found[0].device)
    assert sum(kind.key in known for kind in kinds) == 2 and not rows.in_table(tmp_path / "table.csv", "another")


def settings(tmp_path: Path, device: str = "cpu") -> Any:
    from gpu_check.parts import Settings

    return Settings(device, True, tmp_path, ROOT)


def good(check: Any) -> None:
    check.judged("a number", "1", "< 2", True)
    for _ in check.in_time([1, 2], str):
        pass


def bad(check: Any) -> None:
    with check.trying("division"):
        _ = 1 / 0
    check.judged("after it", "3", "< 2", False)
    raise ValueError("mine\nand more")


def crashing(check: Any) -> None:
    check.measured("before it", "1")
    os._exit(7)


def hanging(check: Any) -> None:
    check.measured("before it", "1")
    time.sleep(60)


def test_failures_are_named_and_stop_no_other_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from gpu_check import parts

    monkeypatch.setattr(parts, "GRACE", 0.5)
    functions = {"bad": bad, "crashing": crashing, "hanging": hanging, "good": good}
    wanted = [parts.Part(name, function, 0.01 if name == "hanging" else 1) for name, function in functions.items()]
    assert parts.run_all(wanted, settings(tmp_path), 10) == 1
    text = capfd.readouterr().out
    failed = text.partition("\n5 failed:\n")[2]
    assert "  bad: division: ZeroDivisionError: division by zero (test_gpu_check.py:" in failed
    assert "  bad: after it: 3 (wanted: < 2)" in failed
    assert "  bad: all of it: ValueError: mine (test_gpu_check.py:" in failed
    assert "  crashing: all of it: its process ended with status 7 (wanted: to end)" in failed
    assert "  hanging: all of it: was stopped" in failed
    assert "good" not in failed
    found = json.loads((tmp_path / parts.RESULT).read_text())["findings"]
    states = [(each["part"], each["what"], each["state"]) for each in found]
    assert states[-1] == ("good", "a number", "ok")
    assert [each for each in states if each[1] == "before it"] == [
        ("crashing", "before it", "measured"),
        ("hanging", "before it", "measured"),
    ]


def test_what_has_no_time_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from gpu_check import parts

    assert parts.run_all([parts.Part("good", good, 1)], settings(tmp_path), 0) == 0
    assert "good  all of it  for time          skipped\n" in capfd.readouterr().out
    check, found = checking(tmp_path, -1.0)
    assert list(check.in_time([1, 2], str, "numbers")) == []
    assert [(each.what, each.result, each.state) for each in found] == [
        ("numbers", "for time: 2 of 2: 1, 2", "skipped")
    ]


def test_without_a_gpu_the_first_part_says_so_and_the_others_are_skipped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    from gpu_check import machine, parts

    both = [parts.Part("machine", machine.check, 1, vital=True), parts.Part("good", good, 1)]
    assert parts.run_all(both, settings(tmp_path, "cuda"), 10) == 1
    text = capfd.readouterr().out
    assert "1 failed:\n  machine: all of it: UserError: device: cuda was asked for, but" in text
    assert "since 'machine' failed" in text


def checking(tmp_path: Path, seconds: float = 60.0, cuda: bool = False) -> tuple[Any, list[Any]]:
    """What a part is given, and the list of its findings. With `cuda` it takes the CPU for a GPU."""
    from gpu_check.parts import Check

    class OnGpu(Check):
        cuda = True  # type: ignore[assignment]

    found: list[Any] = []
    kind = OnGpu if cuda else Check
    return kind("test", settings(tmp_path), time.monotonic() + seconds, found.append), found


CUDA_TESTS = """
import pytest

class torch:
    class cuda:
        is_available = staticmethod(lambda: True)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="")

@needs_cuda
def test_a(): pass

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="")
def test_b(n): assert n == 1

def test_c(): raise AssertionError
"""


def test_the_cuda_tests_are_found_and_run(tmp_path: Path) -> None:
    from dataclasses import replace

    from gpu_check import cuda_tests

    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_one.py").write_text(CUDA_TESTS)
    (tmp_path / "tests/test_two.py").write_text(f"import no_such_package\n{CUDA_TESTS}")
    check, found = checking(tmp_path, cuda=True)
    cuda_tests.check(replace(check, settings=replace(check.settings, root=tmp_path)))
    assert [(each.what, each.result, each.state) for each in found] == [
        ("tests/test_two.py", "no_such_package is not installed", "skipped"),
        ("2 test functions", "2 passed, 1 failed", "failed"),
    ]
    needing = [cuda_tests.needing(path) for path in (ROOT / "tests").rglob("test_*.py")]
    assert sum(map(len, needing)) >= 4


def made_up_gpu(patch: pytest.MonkeyPatch) -> None:
    """torch.cuda as it would answer, without a GPU."""
    about = SimpleNamespace(name="Made-up", major=9, minor=0, multi_processor_count=132)
    answers = {
        **dict.fromkeys(("synchronize", "empty_cache", "reset_peak_memory_stats", "set_sync_debug_mode")),
        **dict.fromkeys(("memory_allocated", "max_memory_allocated"), 2**30),
        "mem_get_info": (3 * 2**29, 2**31),
        "get_device_properties": about,
        "device_count": 1,
    }
    for name, answer in answers.items():
        patch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)


def test_what_only_a_gpu_runs_with_a_made_up_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tests that the code runs, on the CPU: nothing can be recorded there, and no memory is short."""
    from gpu_check import agreement, graphs, machine, memory, resumption, waits

    made_up_gpu(monkeypatch)
    check, found = checking(tmp_path, cuda=True)
    machine.facts(check)
    for part in (agreement, graphs, resumption, memory, waits):
        part.check(check)
    assert found[2].result == "Made-up, compute capability 9.0, 2.0 GiB"
    assert {each.what for each in found if each.state == "failed"} == {
        "csgm, 64 pixels: graphs",
        "csgm, 64 pixels: 0 MiB per image, room for 0 MiB",
    }


def test_synchronisations_are_counted_from_torch_s_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu_check import waits

    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def run(steps: int) -> None:
        for _ in range(steps):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("another", stacklevel=1)

    assert len(waits.counted(run, 3, waits.warned)) == 3
    assert modes == ["warn", "default"]


def test_the_truth_is_what_the_workloads_measure() -> None:
    import workloads
    from gpu_check import loads

    (workload,) = workloads.selected(["csgm"], [64])
    problem = workloads.random_problem(workload.operator, 64, "cpu", 2, "float32")
    torch.testing.assert_close(problem.operator.A(loads.truth(workload, 2)), problem.y, rtol=0, atol=0)
    true, moved = loads.truth(workload, 2), loads.truth(workload, 2)
    moved[0, 0, 0, 0] = 1 - true[0, 0, 0, 0].round()
    change = float(moved[0, 0, 0, 0] - true[0, 0, 0, 0])
    expected = [-10 * math.log10(change**2 / (3 * 64 * 64)), math.inf]
    assert loads.psnr(moved, true).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_make_target_installs_nothing() -> None:
    # `make test` passes its flags on.
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", "-n", "gpu-check"], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[1:] == ["benchmarks/gpu_check"]
