"""What a CUDA graph needs of a step: it works in place and never waits for the device. And what a graph gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reprior.optimise.graphs import Replayed, without_graphs
from reprior.optimise.loop import Moments, Run, Variables, minimise
from reprior.optimise.schedules import ramp_and_cosine
from tests.optimise.waits import Waits

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def rows(value: Tensor) -> Tensor:
    return value.flatten(1).sum(1)


def objective(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
    x = variables["x"] * (1 + 0.01 * step) + variables["w"][:, None]
    return rows((x - 1).square()), {"x": x, "w": variables["w"]}


def start(device: str = "cpu") -> Variables:
    return {"x": torch.linspace(-1, 1, 6, device=device).view(2, 3), "w": torch.ones(2, device=device)}


def _into_box(variables: Variables) -> None:
    variables["x"].clamp_(-1, 1)


def test_a_step_changes_the_same_tensors_in_place() -> None:
    moments = {"x": Moments(torch.zeros(2, 3), torch.zeros(2, 3), 5)}
    run = Run(start(), 9, 0.1, ramp_and_cosine, "last", moments, ())
    run.advance(objective, None)
    state = {**run.tensors(), "now": run.now}
    places, before = ({key: of(value) for key, value in state.items()} for of in (Tensor.data_ptr, Tensor.clone))
    run.step += 1
    run.advance(objective, None)
    after = {**run.tensors(), "now": run.now}
    assert {key: value.data_ptr() for key, value in after.items()} == places
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed >= {"variables.x", "exp_avg.x", "exp_avg_sq.w", "kept.x", "loss", "kept_step", "now", "trace"}


def test_a_step_does_not_wait_for_the_device() -> None:
    run = Run(start(), 9, 0.1, ramp_and_cosine, "best", {}, ())
    with Waits() as waits:
        run.advance(objective, _into_box)
    assert waits.found == []
    with Waits() as waits:
        run.loss.sum().item()
        torch.tensor(1.0)
    assert len(waits.found) == 2, "the test could not fail"


def test_on_a_cpu_it_is_the_function_itself() -> None:
    calls: list[int] = []
    replayed = Replayed(lambda: calls.append(len(calls)), "test", torch.device("cpu"))
    for _ in range(6):
        replayed()
    assert calls == list(range(6))


@needs_cuda
def test_a_graph_gives_the_same_path() -> None:
    def found() -> Tensor:
        return minimise(objective, start("cuda"), steps=40, lr=0.1, schedule=ramp_and_cosine).trace

    with_graphs = found()
    with without_graphs():
        assert torch.equal(with_graphs, found())


@needs_cuda
def test_a_step_that_waits_runs_without_a_graph_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def waiting(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        assert variables["x"].sum().item() < 1e9
        return objective(variables, step)

    found = minimise(waiting, start("cuda"), steps=10, lr=0.1, name="mine")
    assert found.trace.isfinite().all()
    assert "mine: its steps cannot be a CUDA graph" in capsys.readouterr().err
