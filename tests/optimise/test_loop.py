"""The optimisation loop: its path, what it keeps, and what happens when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reprior.machine.files import load_tensors
from reprior.optimise import watch as watching
from reprior.optimise.loop import Keep, Moments, Objective, Optimum, Variables, minimise
from reprior.optimise.watch import Watch
from reprior.seeds import rng_for

START = {"x": torch.linspace(-2, 3, 12).view(4, 3), "w": torch.linspace(0.5, 1.5, 8).view(4, 2, 1)}
RATES = {"x": 0.1, "w": 0.01}


def bumpy(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    """A loss with many minima, and noise that depends on the step."""
    noise = torch.randn(3, generator=rng_for("s", "c", "image", "noise", int(step)))
    x = variables["x"] * variables["w"].sum((1, 2))[:, None] + 0.1 * noise
    return (x.square() + torch.cos(5 * x)).sum(1), {"x": x, "norm": x.norm(dim=1)}


def solved(objective: Objective = bumpy, watch: Watch | None = None, keep: Keep = "best", steps: int = 30) -> Optimum:
    return minimise(objective, START, steps=steps, lr=RATES, keep=keep, watch=watch, name="test")


def assert_same(one: Optimum, other: Optimum) -> None:
    """To the last bit."""
    assert one.status == other.status
    for a, b in ((one.loss, other.loss), (one.step, other.step), (one.trace, other.trace)):
        assert torch.equal(a, b)
    assert one.kept.keys() == other.kept.keys()
    assert all(torch.equal(one.kept[key], other.kept[key]) for key in one.kept)


class CutError(Exception):
    """Anything that may end a job."""


def cut_at(step: int, how: Callable[[], None]) -> Objective:
    def objective(variables: Variables, now: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        if now == step:
            how()
        return bumpy(variables, now)

    return objective


def cut() -> None:
    raise CutError


def test_the_path_is_that_of_adam_on_each_row_alone() -> None:
    found = solved()
    for row in range(4):
        variables = {key: value[row : row + 1].clone().requires_grad_() for key, value in START.items()}
        adam = torch.optim.Adam([{"params": [variables[key]], "lr": RATES[key]} for key in variables])
        losses = []
        for step in range(30):
            adam.zero_grad()
            loss, _ = bumpy(variables, torch.tensor(step))
            loss.sum().backward()
            adam.step()
            losses.append(loss.item())
        torch.testing.assert_close(found.trace[row], torch.tensor(losses), rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.floats(0.1, 10))
def test_a_quadratic_is_minimised_where_its_closed_form_says(centres: list[float], curvature: float) -> None:
    centre = torch.tensor(centres, dtype=torch.float64)[:, None]

    def objective(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return curvature * (variables["x"] - centre).square().sum(1) + 7, variables

    start = {"x": torch.zeros(len(centre), 1, dtype=torch.float64)}
    found = minimise(objective, start, steps=400, lr=0.3, schedule=lambda step, steps: (1 - step / steps) ** 2)
    torch.testing.assert_close(found.kept["x"], centre, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.loss, torch.full_like(found.loss, 7), rtol=0, atol=1e-4)


def test_best_keeps_the_lowest_loss_of_each_row_and_last_the_last() -> None:
    best, last = solved(keep="best"), solved(keep="last")
    assert torch.equal(best.trace, last.trace)
    assert torch.equal(best.loss, best.trace.min(1).values)
    assert torch.equal(best.step, best.trace.argmin(1))
    assert torch.equal(last.loss, last.trace[:, -1])
    assert last.step.tolist() == [29] * 4
    for found in (best, last):
        x = found.kept["x"]
        torch.testing.assert_close((x.square() + torch.cos(5 * x)).sum(1), found.loss)
        torch.testing.assert_close(found.kept["norm"], x.norm(dim=1))
    assert len(set(best.step.tolist())) > 1, "rows should differ in their best step"


def test_steps_counts_evaluations_and_the_last_one_moves_nothing() -> None:
    seen: list[int] = []

    def counting(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        seen.append(int(step))
        return bumpy(variables, step)

    once = solved(counting, steps=1)
    assert seen == [0]
    torch.testing.assert_close(once.loss, bumpy(START, torch.tensor(0))[0])
    assert once.trace.shape == (4, 1)


def test_start_is_left_as_it_was() -> None:
    before = {key: value.clone() for key, value in START.items()}
    solved()
    assert all(torch.equal(before[key], START[key]) and not START[key].requires_grad for key in START)


def test_schedule_scales_every_rate_and_project_holds_after_each_step() -> None:
    def halt(step: int, steps: int) -> float:
        assert 0 <= step < steps == 20
        return 0.0 if step >= 10 else 1.0

    found = minimise(bumpy, START, steps=20, lr=RATES, schedule=halt, keep="last")
    # The updates after steps 10 to 18 have rate zero: x stays the same and only the noise differs.
    moved = minimise(bumpy, START, steps=11, lr=RATES, keep="last")
    assert torch.equal(found.trace[:, :11], moved.trace)

    def into_box(variables: Variables) -> None:
        variables["x"].clamp_(-0.5, 0.5)

    def watching_x(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        assert step == 0 or variables["x"].abs().max() <= 0.5
        return bumpy(variables, step)

    minimise(watching_x, START, steps=10, lr=RATES, project=into_box)


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_row_that_is_not_finite_keeps_a_finite_iterate_and_disturbs_no_other(keep: Keep, value: float) -> None:
    def breaking(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss, kept = bumpy(variables, step)
        factor = torch.ones(4)
        factor[1] = value if step >= 6 else 1.0
        return loss * factor, kept

    found, whole, cut_short = solved(breaking, keep=keep), solved(keep=keep), solved(keep=keep, steps=6)
    assert found.status == ("ok", "diverged", "ok", "ok")
    for row, expected in ((0, whole), (1, cut_short), (2, whole), (3, whole)):
        assert torch.equal(found.kept["x"][row], expected.kept["x"][row])
        assert found.loss[row] == expected.loss[row]
    assert not found.trace[1, 6:].isfinite().any()
    assert torch.equal(found.trace[2:], whole.trace[2:])


def test_a_gradient_that_is_not_finite_is_noticed() -> None:
    def kinked(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return variables["x"].abs().sqrt().sum(1), {"x": variables["x"]}

    found = minimise(kinked, {"x": torch.tensor([[0.0], [4.0]])}, steps=5, lr=0.1)
    assert found.status == ("diverged", "ok")
    assert found.kept["x"][0] == 0
    assert found.kept["x"][1] < 4


def test_a_row_that_never_is_finite_gives_its_first_iterate() -> None:
    def broken(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return variables["x"].sum(1) * torch.tensor([1.0, torch.nan]), {"x": variables["x"]}

    found = minimise(broken, {"x": torch.tensor([[3.0], [4.0]])}, steps=5, lr=0.1)
    assert found.status == ("ok", "diverged")
    assert found.loss[1] == torch.inf
    assert found.kept["x"][1] == 4


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("step", [1, 2, 17, 29])
def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path: Path, keep: Keep, step: int) -> None:
    def watch(every: float = 0) -> Watch:
        return Watch(checkpoint=tmp_path / "c.safetensors", every_seconds=every, fingerprint="f")

    with pytest.raises(CutError):
        solved(cut_at(step, cut), watch(), keep)
    seen: list[int] = []

    def resumed(variables: Variables, now: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        seen.append(int(now))
        return bumpy(variables, now)

    assert_same(solved(resumed, watch(), keep), solved(keep=keep))
    assert seen == list(range(step, 30))


def test_the_state_at_a_mark_is_that_of_a_run_so_long() -> None:
    watch = Watch(marks=(7,))
    found = solved(watch=watch)
    kept = {key.removeprefix("7."): tensor for key, tensor in watch.marked.items()}
    assert torch.equal(kept["kept.x"], solved(keep="last", steps=8).kept["x"])
    assert kept.keys() == {f"{of}.{name}" for of in ("variables", "exp_avg", "exp_avg_sq") for name in START} | {
        "kept.x",
        "kept.norm",
    }
    assert_same(found, solved())


def quadratic(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    return variables["x"].square().sum(1), {"x": variables["x"]}


def test_a_run_that_carries_moments_over_is_the_rest_of_the_first() -> None:
    watch, start = Watch(marks=(7,)), {"x": START["x"]}
    whole = minimise(quadratic, start, steps=30, lr=0.1, keep="last", watch=watch)
    found = watch.marked
    moments = Moments(found["7.exp_avg.x"], found["7.exp_avg_sq.x"], updates=7)
    middle = {"x": found["7.variables.x"]}
    rest = minimise(quadratic, middle, steps=23, lr=0.1, keep="last", carried={"x": moments})
    assert torch.equal(rest.kept["x"], whole.kept["x"])
    assert torch.equal(rest.trace, whole.trace[:, 7:])
    anew = minimise(quadratic, middle, steps=23, lr=0.1, keep="last")
    assert not torch.equal(anew.kept["x"], whole.kept["x"])


@pytest.mark.parametrize("step", [5, 20])
def test_a_resumed_run_has_the_state_at_its_marks(tmp_path: Path, step: int) -> None:
    def watch() -> Watch:
        return Watch(checkpoint=tmp_path / "c.safetensors", every_seconds=0, marks=(7,))

    with pytest.raises(CutError):
        solved(cut_at(step, cut), watch())
    resumed, undisturbed = watch(), Watch(marks=(7,))
    solved(watch=resumed)
    solved(watch=undisturbed)
    assert all(torch.equal(resumed.marked[key], tensor) for key, tensor in undisturbed.marked.items())
    assert resumed.parameters == undisturbed.parameters == 5


def test_a_finished_run_of_a_job_is_not_done_again(tmp_path: Path) -> None:
    def job(second: Objective, watch: Watch) -> tuple[Optimum, Optimum]:
        first = minimise(bumpy, START, steps=9, lr=RATES, watch=watch.within("0-4"), name="first")
        return first, minimise(second, START, steps=30, lr=RATES, watch=watch.within("4-8"), name="first")

    def watch() -> Watch:
        return Watch(checkpoint=tmp_path / "c.safetensors", every_seconds=0)

    with pytest.raises(CutError):
        job(cut_at(20, cut), watch())
    stored, _ = load_tensors(tmp_path / "c.safetensors")
    assert "4-8/first.exp_avg.x" in stored
    assert "0-4/first.exp_avg.x" not in stored, "a finished run needs no moments"
    again = watch()
    never = minimise(cut_at(8, cut), START, steps=9, lr=RATES, watch=again.within("0-4"), name="first")
    assert_same(never, minimise(bumpy, START, steps=9, lr=RATES))
    assert_same(job(bumpy, again)[1], solved())


def test_a_checkpoint_of_other_settings_is_ignored_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(CutError):
        solved(cut_at(20, cut), Watch(checkpoint=path, every_seconds=0, fingerprint="old"))
    seen: list[int] = []

    def counting(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        seen.append(int(step))
        return bumpy(variables, step)

    assert_same(solved(counting, Watch(checkpoint=path, fingerprint="new")), solved())
    assert seen == list(range(30))
    assert "other settings" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_ignored_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"half a checkpoint")
    assert_same(solved(watch=Watch(checkpoint=path)), solved())
    assert "damaged" in capsys.readouterr().err


def test_checkpoints_go_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    saved: list[float] = []

    def ticking(variables: Variables, step: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        nonlocal now
        now += 1
        return bumpy(variables, step)

    monkeypatch.setattr(watching.time, "monotonic", lambda: now)
    monkeypatch.setattr(watching, "save_tensors", lambda *_: saved.append(now))
    solved(ticking, Watch(checkpoint=tmp_path / "c", every_seconds=7))
    assert saved == [7, 14, 21, 28]


def test_done_removes_the_checkpoint_and_halves_of_it(tmp_path: Path) -> None:
    watch = Watch(checkpoint=tmp_path / ".0-3.checkpoint", every_seconds=0)
    solved(watch=watch)
    (tmp_path / "..0-3.checkpoint.abcd_123.checkpoint").touch()
    (tmp_path / "other").touch()
    assert watch.checkpoint is not None and watch.checkpoint.exists()
    watch.done()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    Watch().done()


def test_progress_off_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_LINE_SECONDS", 0.0)
    solved(watch=Watch(label="case/csgm"), steps=5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert re.fullmatch(r"case/csgm test: step 3 of 5, loss [-+.e\d]+, \d\d:\d\d left", lines[2])
    solved(steps=5)
    assert capsys.readouterr().err == ""


def test_a_signal_between_optimisations_ends_the_job_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop, Watch().catching_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_optimisation_after_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    def watch() -> Watch:
        return Watch(checkpoint=tmp_path / "c.safetensors", every_seconds=1e9)

    stopping = watch()
    with pytest.raises(SystemExit) as stop, stopping.catching_signals():
        solved(cut_at(11, lambda: os.kill(os.getpid(), number)), stopping)
    assert stop.value.code == 128 + number
    assert load_tensors(tmp_path / "c.safetensors")[1]["parts"]["test"][0] == 12
    assert_same(solved(watch=watch()), solved())


KILLED = """
import os, signal, sys
from test_loop import Path, Watch, cut_at, solved
watch = Watch(checkpoint=Path(sys.argv[1]), every_seconds=0)
solved(cut_at(13, lambda: os.kill(os.getpid(), signal.SIGKILL)), watch)
"""


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert load_tensors(path)[1]["parts"]["test"][0] == 13
    assert_same(solved(watch=Watch(checkpoint=path)), solved())
