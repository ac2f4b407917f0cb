"""How much memory a job requests: enough for what was measured, but not much more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reprior.planning.job_memory import memory_mb
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.planning.step_times import TABLE, Key, Row, read_rows, tasks, write_rows

FULL = {"scale": "full", "studies": ["iagan"], "device": "cpu"}


def asked(plan: Plan, case: str, method: str | None = None, batch: str | None = None, on_gpu: bool = False) -> int:
    found = plan.studies["iagan"].cases[case]
    cell = found.cells[method] if method else None
    return memory_mb(plan, found, cell, batch or found.images.batches[0], on_gpu)


def row(key: Key, images: int, peak_mib: float) -> Row:
    return Row("cpu (a CPU)", 1, *key[:-1], key.operator, images, 1.0, 3.0, peak_mib, 1000, "2026-01-31", "2.15")


@pytest.fixture
def full(root: Path) -> Plan:
    return make_plan(root, FULL)


def test_every_measured_batch_fits(root: Path) -> None:
    plans = [make_plan(root, {**FULL, "scale": scale, "images_per_job": 1}) for scale in ("small", "full")]
    peaks = {each.key: each for each in read_rows(root / TABLE)}
    checked = 0
    for plan in plans:
        for task in tasks(plan):
            measured = peaks.get(task.work.key)
            if measured is None or task.work.stage == "evaluate":
                continue
            case = plan.studies[task.study].cases[task.case]
            cell = next((cell for cell in case.cells.values() if cell.spec == task.work.method), None)
            batch = f"0000-{measured.images - 1:04d}"
            assert memory_mb(plan, case, cell, batch) > measured.peak_mib, task.work.key
            checked += 1
    assert checked > 100


def test_a_gaussian_matrix_is_counted_once_a_job(full: Plan) -> None:
    small, large = (asked(full, f"celeba-gaussian-{ratio}") for ratio in ("002", "092"))
    matrix = (0.916 - 0.0203) * (3 * 128 * 128) ** 2 * 4 / 2**20
    assert large - small == pytest.approx(1.1 * matrix, abs=500)
    one, twenty = (asked(full, "celeba-gaussian-092", "csgm-bp", batch) for batch in ("0000-0000", "0000-0019"))
    assert twenty - one <= 500


def test_more_images_ask_for_more(full: Plan) -> None:
    one, two = (asked(full, "celebahq-sr-x8", "dip", batch) for batch in ("0000-0000", "0000-0001"))
    assert two - one > 15_000


def test_another_operator_takes_what_was_measured_with_one(full: Plan, tmp_path: Path) -> None:
    case = full.studies["iagan"].cases["celeba-sr-x4"]
    work = next(
        task.work for task in tasks(full) if task.case == case.name and task.work.method == case.cells["csgm"].spec
    )
    write_rows(tmp_path / TABLE, [row(work.key, 2, 650 + 2 * 900)])
    plan = replace(full, root=tmp_path)
    assert asked(plan, "celeba-sr-x4", "csgm", "0000-0009") == 11_000  # 1.1 * (650 + 10 * 900), in steps of 500
    assert asked(plan, "celeba-deblur", "csgm", "0000-0009") == 11_000


def test_a_kind_that_was_not_measured_is_taken_by_its_pixels(full: Plan, tmp_path: Path) -> None:
    plan = replace(full, root=tmp_path)
    small, large = (asked(plan, case, "csgm", "0000-0009") for case in ("celeba-sr-x4", "celebahq-sr-x8"))
    assert 1_000 <= small <= 2_000
    assert large > 60_000 / 1.1


def test_the_images_of_a_gpu_job_are_on_the_gpu(full: Plan) -> None:
    assert asked(full, "celebahq-sr-x8", "dip", on_gpu=True) < 5_000 < asked(full, "celebahq-sr-x8", "dip")
    assert asked(full, "celeba-gaussian-092", "csgm", on_gpu=True) > 9_000
