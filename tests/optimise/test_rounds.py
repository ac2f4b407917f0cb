"""Rounds: the loop runs again with other variables, and can be resumed in any round."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reprior.optimise.loop import Optimum, Variables, minimise
from reprior.optimise.projections import norms, on_spheres
from reprior.optimise.rounds import joined, round_name
from reprior.optimise.schedules import ramp_and_cosine
from reprior.optimise.watch import Watch

STEPS = (12, 7, 9)


class CutError(Exception):
    """Anything that may end a job."""


def in_rounds(watch: Watch | None = None, cut_at: tuple[int, int] | None = None) -> Optimum:
    """Three rounds. Each starts where the one before ended, with one more variable."""
    found: list[Optimum] = []
    start = {"a": torch.linspace(-1, 2, 12).view(4, 3)}
    for number, steps in enumerate(STEPS):

        def f(variables: Variables, step: int, number: int = number) -> tuple[Tensor, Mapping[str, Tensor]]:
            if cut_at == (number, step):
                raise CutError
            x = sum(variables.values(), start=torch.zeros(4, 3))
            return (x.square() + torch.cos(5 * x)).sum(1), {"x": x, **variables}

        project, name = on_spheres(start, {"a": 1}), round_name("test", number, len(STEPS))
        how = {"steps": steps, "lr": 0.1, "schedule": ramp_and_cosine, "project": project}
        round_of = minimise(f, start, **how, watch=watch, name=name)
        found.append(round_of)
        start = {key: value for key, value in round_of.kept.items() if key != "x"}
        start[f"b{number}"] = torch.full((4, 3), 0.1)
    return joined(found)


@pytest.mark.parametrize("cut_at", [(0, 5), (1, 3), (2, 8)])
def test_a_cut_in_any_round_changes_no_bit(tmp_path: Path, cut_at: tuple[int, int]) -> None:
    path = tmp_path / "rounds.checkpoint"
    with pytest.raises(CutError):
        in_rounds(Watch(checkpoint=path, every_seconds=0), cut_at)
    resumed, undisturbed = in_rounds(Watch(checkpoint=path)), in_rounds()
    assert torch.equal(resumed.trace, undisturbed.trace)
    assert torch.equal(resumed.loss, undisturbed.loss)
    assert all(torch.equal(resumed.kept[key], undisturbed.kept[key]) for key in undisturbed.kept)


def test_rounds_join_to_one_result() -> None:
    found = in_rounds()
    assert found.trace.shape == (4, sum(STEPS))
    assert set(found.kept) == {"x", "a", "b0", "b1"}
    torch.testing.assert_close(norms(found.kept["a"]), norms(torch.linspace(-1, 2, 12).view(4, 3)))
    bad = minimise(lambda v, step: (v["x"].sum(1) / 0, {"x": v["x"]}), {"x": torch.ones(4, 2)}, steps=1, lr=0.1)
    assert joined([bad, found]).status == ("diverged",) * 4


def test_the_schedule_rises_stays_and_falls() -> None:
    rates = [ramp_and_cosine(step, 100) for step in range(100)]
    assert rates[0] == 0
    assert rates[2] == pytest.approx(0.4)
    assert rates[5:26] == pytest.approx([1.0] * 21)
    assert rates[100 - 75 // 2 - 1] == pytest.approx(0.5, abs=0.03)
    assert all(a > b for a, b in zip(rates[25:], rates[26:], strict=False))
    assert rates[-1] < 1e-3
