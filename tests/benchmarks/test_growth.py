"""Cost per image, planning per job and memory of a job do not grow: on small pieces of `benchmarks/growth.py`."""

from __future__ import annotations

import importlib.util
import re
import time
import tracemalloc
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from reprior.generators.began import BEGAN
from reprior.methods.base import Problem
from reprior.methods.csgm import csgm
from reprior.methods.dip import dip
from reprior.methods.iagan import iagan
from reprior.metrics.averaging import _resamples, bootstrap_interval
from reprior.operators.bicubic import Bicubic
from reprior.planning.messages import reference
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan

ALIKE = 2.0
"""How much more a unit may cost among many than among few. Noise is below this, and a search through all is above."""


@pytest.fixture(scope="module")
def bench(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("growth", root / "benchmarks/growth.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def least_seconds(works: Sequence[Callable[[], object]], repeats: int = 5) -> list[float]:
    """The least processor time of each work, measured by turns."""
    found = [[_seconds(work) for work in works] for _ in range(repeats)]
    return [min(times) for times in zip(*found, strict=True)]


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize(("few", "many"), [((25, 1), (500, 1)), ((1, 25), (1, 300))], ids=["images", "cases"])
def test_a_job_is_looked_up_as_fast_among_many(
    bench: ModuleType, tmp_path: Path, few: tuple[int, int], many: tuple[int, int]
) -> None:
    """100 and 2,000 jobs of one case; 80 and 900 jobs of one image."""
    (small, fewer), (large, more) = (seconds_per_job(bench, tmp_path / f"{counts}", *counts) for counts in (few, many))
    assert more > 10 * fewer
    assert large < ALIKE * small


def seconds_per_job(bench: ModuleType, folder: Path, images: int, cases: int) -> tuple[float, int]:
    """What the rules look up for a job, and the number of jobs."""
    folder.mkdir()
    plan, rules = bench.loaded(folder, bench.project(folder, images, cases=cases, per_job=1))
    wanted = list(bench.job_wildcards(plan))
    calls = bench.look_up(rules, wanted)  # from now on, the code of each rule is known
    assert calls > 3 * len(wanted)
    (seconds,) = least_seconds([lambda: bench.look_up(rules, wanted)], 3)
    return seconds / len(wanted), len(wanted)


def test_a_job_has_the_wildcards_that_snakemake_gives(bench: ModuleType, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, bench.project(tmp_path, 45, cases=2, methods=["csgm", "iagan"]))
    counted: dict[str, int] = {}
    for rule, wildcards in bench.job_wildcards(plan):
        counted[rule] = counted.get(rule, 0) + 1
        assert wildcards.study == "growth"
    once = {"aggregate": 1, "report": 1, "all": 1}
    assert counted | once == dict(bench.jobs(plan))


def test_an_image_is_aggregated_and_shown_as_fast_among_400_as_among_40(bench: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    config = bench.project(tmp_path, 400, per_job=10)
    plans = [make_plan(tmp_path / "few", bench.project(tmp_path / "few", 40) | config), make_plan(tmp_path, config)]
    fill(bench, plans[1])
    works = [dict(bench.calls(plan)) for plan in plans]
    for stage in ("aggregate", "table"):
        few, many = least_seconds([work[stage] for work in works], 3)
        assert many / 400 < ALIKE * few / 40, stage
    table = (plans[1].studies["growth"].folder / "table.csv").read_text()
    assert re.search("psnr,.*,400,", table)


def fill(bench: ModuleType, plan: Plan) -> None:
    """Make the results of the first batch. The other batches get copies of its numbers."""
    (case,) = plan.studies["growth"].cases.values()
    first, *others = case.images.batches
    for _, work in bench.batch_calls(plan, case, first):
        work()
    made = case.folder / "csgm" / first
    for number, batch in enumerate(others, 1):
        for suffix in (".csv", ".json"):
            text = made.with_suffix(suffix).read_text()
            moved = re.sub(r'(?<=[,"])0000(\d\d)(?=[,"])', rf"{number:04d}\1", text)
            made.with_name(f"{batch}{suffix}").write_text(moved)


def peak_bytes(draws: int, images: int) -> int:
    """The most memory that one interval takes."""
    values = np.linspace(20, 30, images)
    _resamples.cache_clear()
    tracemalloc.start()
    try:
        bootstrap_interval("psnr", values, draws=draws)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_interval_takes_little_memory_for_many_images() -> None:
    one, two = (peak_bytes(1_000, images) for images in (5_000, 10_000))
    assert two - one == pytest.approx(2 * 1_000 * 5_000, rel=0.2)  # 2 bytes for each image in each draw
    assert two < 2 * 1_000 * 10_000 + 60e6


class Live(TorchDispatchMode):
    """The bytes of the tensors that exist, and their peak. Unlike the process's memory, it has no noise."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = WeakIdKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without this, the mode imports torch's compiler, which takes longer than the test."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        made = function(*given, **(named or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage not in self.known:
                self.known[storage] = True
                self._count(storage.nbytes())
                weakref.finalize(storage, self._count, -storage.nbytes())
        return made

    def _count(self, more: int) -> None:
        self.now += more
        self.peak = max(self.peak, self.now)


def peak_of_job(method: str, images: int) -> int:
    """Bytes of the tensors of a reconstruction, at its peak."""
    generator = BEGAN(size=64, channels=2, latent=4).eval().requires_grad_(False)
    operator = Bicubic(generator.image_shape, torch.Generator(), scale=4)
    y = torch.zeros(images, 3, 16, 16)
    problem = Problem(y, operator, "study", "case", tuple(map(str, range(images))))
    start = csgm(problem, generator, steps=1)
    work: dict[str, Callable[[], object]] = {
        "csgm": lambda: csgm(problem, generator, steps=2),
        "iagan": lambda: iagan(problem, generator, start, steps=2),
        "dip": lambda: dip(problem, steps=2, channels=2, scales=2, input_depth=2),
    }
    with Live() as live:
        work[method]()
    return live.peak


@pytest.mark.parametrize("method", ["csgm", "iagan", "dip"])
def test_memory_is_so_much_an_image(method: str) -> None:
    two, four, eight = (peak_of_job(method, images) for images in (2, 4, 8))
    assert two > 2 * 3 * 64 * 64 * 4  # the images alone
    assert (eight - four) / 4 == pytest.approx((four - two) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("heights", "expected"),
    [([0.1, 0.5], [0.1, 0.5]), ([0.5, 0.5], [0.45, 0.55]), ([0.2, 0.5, 0.52, 0.6], [0.2, 0.44, 0.54, 0.64])],
)
def test_names_that_are_too_close_are_moved_apart(
    bench: ModuleType, heights: list[float], expected: list[float]
) -> None:
    assert bench.spread(heights, 0.1) == pytest.approx(expected)


def test_a_straight_line_is_found_with_its_farthest_point(bench: ModuleType) -> None:
    assert bench.fitted({1: 13.0, 2: 16.0, 8: 34.0}) == pytest.approx((10, 3, 0), abs=1e-9)
    assert bench.fitted({0: 0.0, 1: 3.0, 2: 0.0})[2] == pytest.approx(2)


class Unwalked(dict[str, int]):
    def __iter__(self) -> Any:
        raise AssertionError("walked through all")


def test_a_name_is_checked_without_a_walk_through_all_names() -> None:
    assert reference("a", Unwalked(a=1, b=2), Path("study.yaml"), "cases", "case") == "a"
