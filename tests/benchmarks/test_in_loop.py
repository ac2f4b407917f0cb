from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from reprior.optimise.loop import minimise


@pytest.fixture(scope="module")
def in_loop(root: Path) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        return importlib.import_module("in_loop")


def slow_at_first(watch: object, rounds: int, clock: list[float]) -> Callable[[int], None]:
    """Optimisations, one after the other: 5 s for each of the first three steps, 0.01 s for the others."""

    def objective(variables: dict[str, Tensor], step: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        clock[0] += 5 if step < 3 else 0.01
        return variables["z"].square().sum(1), {"x": variables["z"]}

    def run(steps: int) -> None:
        for number in range(rounds):
            minimise(objective, {"z": torch.ones(2, 3)}, steps=steps, lr=0.1, watch=watch, name=f"round {number}")

    return run


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_first_steps_do_not_count_and_rounds_add_up(
    in_loop: ModuleType, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(in_loop, "now", lambda device: clock[0])
    watch = in_loop.Timed(first=3)
    run = slow_at_first(watch, rounds, clock)
    for target in (0, 0.2, 0.5):
        assert in_loop.seconds_in_loop(run, watch, target) == pytest.approx(0.01 * rounds)


def test_work_without_the_loop_has_no_time(in_loop: ModuleType) -> None:
    assert in_loop.seconds_in_loop(lambda steps: None, in_loop.Timed(), 0) == 0
