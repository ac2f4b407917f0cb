"""What holds for every method: an image does not depend on its neighbours."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from reprior.generators.base import Generator
from reprior.methods.back_projection import back_projection
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.methods.bicubic import bicubic
from reprior.methods.csgm import csgm
from reprior.methods.dip import dip
from reprior.methods.iagan import iagan
from reprior.methods.naive import naive
from reprior.optimise.watch import Watch

SMALL_DIP = {"scales": 2, "channels": 8, "input_depth": 4}


def run(method: str, problem: Problem, generator: Generator, steps: int) -> Reconstruction:
    """Run one method by name. Those that start from another result start from CSGM's first latents."""
    generator = copy.deepcopy(generator).to(problem.y.dtype)
    z = problem.draw("start", generator.draw_latent)
    start = Reconstruction(generator.image(z), z, status=("ok",) * len(problem))
    runs: dict[str, Callable[[], Reconstruction]] = {
        "bicubic": lambda: bicubic(problem),
        "naive": lambda: naive(problem),
        "csgm": lambda: solve(csgm, problem, generator, steps=steps, restarts=2, z_penalty=0.01),
        "iagan": lambda: iagan(problem, generator, start, steps=steps),
        "back-projection": lambda: back_projection(problem, start),
        "dip": lambda: solve(dip, problem, steps=steps, restarts=2, **SMALL_DIP),
    }
    return runs[method]()


METHODS = ["bicubic", "naive", "csgm", "iagan", "back-projection", "dip"]


@pytest.mark.parametrize("method", METHODS)
def test_an_image_alone_ends_as_in_a_batch(make_problem: Any, generator: Generator, method: str) -> None:
    problem = make_problem(dtype=torch.float64)
    together = run(method, problem, generator, steps=40)
    alone = run(method, problem[2:3], generator, steps=40)
    torch.testing.assert_close(alone.images, together.images[2:3], rtol=0, atol=1e-6)
    assert together.images.shape == (4, 3, 16, 16)
    assert together.status == ("ok",) * 4


@pytest.mark.parametrize("method", ["csgm", "iagan", "dip"])
def test_losses_alone_are_those_in_a_batch(make_problem: Any, generator: Generator, method: str) -> None:
    problem = make_problem()
    together = run(method, problem, generator, steps=20)
    alone = run(method, problem[2:3], generator, steps=20)
    assert alone.trace is not None and together.trace is not None
    assert together.trace.shape == (4, 20)
    torch.testing.assert_close(alone.trace, together.trace[2:3], rtol=1e-5, atol=1e-5)


def test_draws_depend_on_image_and_restart_alone(make_problem: Any, generator: Generator) -> None:
    problem, twice = make_problem(), make_problem().repeated(2)
    start = partial(Problem.draw, role="start", sample=generator.draw_latent)
    noises = [partial(_noise, step=step) for step in (0, 3)]
    for draw in (start, *noises):
        together = draw(problem)
        assert torch.equal(together[1:2], draw(problem[1:2]))
        assert not torch.equal(together[0], together[1])
        assert torch.equal(draw(twice)[::2], together)
        assert torch.equal(draw(twice[2:4]), draw(twice)[2:4])
        assert not torch.equal(draw(twice)[1], draw(twice)[0])
    assert not torch.equal(noises[0](problem), noises[1](problem))


def _noise(problem: Problem, step: int) -> torch.Tensor:
    return problem.step_noise("noise", (3, 5))(torch.tensor(step))


@pytest.mark.parametrize("chunk", [1, 3, 4, None])
def test_chunks_do_not_change_the_result(make_problem: Any, generator: Generator, chunk: int | None) -> None:
    problem = make_problem(dtype=torch.float64)
    generator.double()
    first = solve(csgm, problem, generator, chunk=chunk, steps=15)
    second = solve(iagan, problem, generator, first, chunk=chunk, steps=15)
    whole = iagan(problem, generator, csgm(problem, generator, steps=15), steps=15)
    assert second.latents is not None and second.trace is not None
    torch.testing.assert_close(second.images, whole.images, rtol=0, atol=1e-9)
    torch.testing.assert_close(second.latents, whole.latents, rtol=0, atol=1e-9)
    assert second.trace.shape == (4, 15)
    assert second.status == ("ok",) * 4


def test_a_batch_that_does_not_fit_is_halved(make_problem: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []

    def greedy(problem: Problem) -> Reconstruction:
        sizes.append(len(problem))
        if len(problem) > 2:
            raise torch.OutOfMemoryError
        return bicubic(problem)

    problem = make_problem(count=5)
    found = solve(greedy, problem)
    assert sizes == [5, 3, 2, 2, 1]
    assert torch.equal(found.images, bicubic(problem).images)
    assert "2 images at a time" in capsys.readouterr().err


def test_one_image_that_does_not_fit_is_an_error(make_problem: Any) -> None:
    def greedy(problem: Problem) -> Reconstruction:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        solve(greedy, make_problem())


@pytest.mark.parametrize("method", ["csgm", "iagan", "dip"])
def test_a_method_cut_short_and_resumed_ends_as_if_undisturbed(
    make_problem: Any, generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    undisturbed = run(method, make_problem(), generator, steps=20)
    problem = make_problem()
    watched = replace(problem, watch=Watch(checkpoint=tmp_path / "c", every_seconds=0))
    measure, calls = problem.operator.A, iter(range(13))

    def failing(x: torch.Tensor) -> torch.Tensor:
        next(calls)
        return measure(x)

    with monkeypatch.context() as patch:
        patch.setattr(problem.operator, "A", failing)
        with pytest.raises(StopIteration):
            run(method, watched, generator, steps=20)
    resumed = run(method, replace(problem, watch=Watch(checkpoint=tmp_path / "c")), generator, steps=20)
    assert torch.equal(resumed.images, undisturbed.images)
    assert undisturbed.trace is not None and resumed.trace is not None
    assert torch.equal(resumed.trace, undisturbed.trace)


@pytest.mark.parametrize("method", ["csgm", "iagan", "dip"])
def test_an_image_that_is_not_finite_disturbs_no_other(make_problem: Any, generator: Generator, method: str) -> None:
    problem = make_problem()
    y = problem.y.clone()
    y[1] = torch.nan
    hurt = run(method, replace(problem, y=y), generator, steps=10)
    whole = run(method, problem, generator, steps=10)
    assert hurt.status == ("ok", "diverged", "ok", "ok")
    for row in (0, 2, 3):
        torch.testing.assert_close(hurt.images[row], whole.images[row], rtol=0, atol=1e-5)
