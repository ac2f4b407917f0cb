"""The methods of the IAGAN study, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.methods.back_projection import back_projection
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.methods.bicubic import bicubic
from reprior.methods.csgm import csgm
from reprior.methods.dip import dip
from reprior.methods.iagan import iagan
from reprior.methods.naive import naive
from reprior.networks.initial import draw_convolutions
from reprior.networks.skip import Skip
from reprior.operators.bicubic import Bicubic
from reprior.operators.gaussian import Gaussian
from reprior.operators.identity import Identity

SHAPE = (3, 16, 16)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bicubic_is_torch_interpolation_on_the_symmetric_scale(make_problem: Any) -> None:
    problem = make_problem()
    ones = problem.operator.A(torch.ones(1, *SHAPE))
    y = 2 * problem.y - ones  # what A measures of images in [-1, 1]
    expected = (functional.interpolate(y, scale_factor=4, mode="bicubic") + 1) / 2
    torch.testing.assert_close(bicubic(problem).images, expected)
    plain = functional.interpolate(problem.y, scale_factor=4, mode="bicubic")
    torch.testing.assert_close(bicubic(problem, centred=False).images, plain)


def test_a_grey_image_comes_back_grey_where_zeros_are_mid_grey(make_problem: Any) -> None:
    problem = make_problem()
    grey = replace(problem, y=problem.operator.A(torch.full((4, *SHAPE), 0.5)))
    torch.testing.assert_close(bicubic(grey).images, torch.full((4, *SHAPE), 0.5))


def test_bicubic_refuses_an_operator_that_does_not_downsample(make_problem: Any) -> None:
    with pytest.raises(UserError, match="bicubic.*Identity"):
        bicubic(make_problem(Identity(SHAPE, rng())))


@pytest.mark.parametrize("centred", [True, False])
def test_naive_applies_the_inverse_it_names(make_problem: Any, centred: bool) -> None:
    problem = make_problem(Gaussian(SHAPE, rng(), ratio=0.5))
    A = problem.operator
    shift = 1.0 if centred else 0.0
    y = A.A(2 * A.A_dagger(problem.y) - shift) if centred else problem.y
    for kind, inverse in (("adjoint", A.A_adjoint), ("dagger", A.A_dagger)):
        expected = (inverse(y) + 1) / 2 if centred else inverse(y)
        torch.testing.assert_close(naive(problem, kind=kind, centred=centred).images, expected, rtol=1e-4, atol=1e-4)


def test_naive_observation_is_y_itself(make_problem: Any) -> None:
    problem = make_problem(Identity(SHAPE, rng()))
    torch.testing.assert_close(naive(problem, kind="observation").images, problem.y)
    with pytest.raises(UserError, match="kind: observation"):
        naive(make_problem(), kind="observation")


def test_csgm_keeps_the_best_or_the_last_iterate(make_problem: Any, generator: Generator) -> None:
    problem = make_problem()
    best, last = (csgm(problem, generator, steps=30, lr=0.5, keep=keep) for keep in ("best", "last"))
    assert best.trace is not None and last.trace is not None
    assert torch.equal(best.trace, last.trace)
    torch.testing.assert_close(problem.residual(best.images), best.trace.min(1).values)
    torch.testing.assert_close(problem.residual(last.images), last.trace[:, -1])
    assert (best.trace.argmin(1) < 29).any(), "with this rate some image should end above its best"


def test_csgm_images_are_those_of_its_latents(make_problem: Any, generator: Generator) -> None:
    found = solve(csgm, make_problem(), generator, steps=10, restarts=2)
    assert found.latents is not None
    torch.testing.assert_close(found.images, generator.image(found.latents))


def test_csgm_takes_the_best_restart_of_each_image(make_problem: Any, generator: Generator) -> None:
    problem = make_problem()
    found = solve(csgm, problem, generator, steps=12, restarts=3)
    each = []
    for restart in range(3):
        start = replace(problem, restarts=(restart,) * 4).draw("start", generator.draw_latent).requires_grad_()
        adam = torch.optim.Adam([start], lr=0.1)
        losses = []
        for _ in range(12):
            adam.zero_grad()
            loss = problem.residual(generator.image(start))
            loss.sum().backward()
            adam.step()
            losses.append(loss.detach())
        each.append(torch.stack(losses, 1))
    traces = torch.stack(each, 1)  # [N, restarts, steps]
    winner = traces.amin(2).argmin(1)
    assert found.trace is not None
    torch.testing.assert_close(found.trace, traces[torch.arange(4), winner], rtol=1e-4, atol=1e-5)
    assert len(set(winner.tolist())) > 1, "the test should see different winners"


def test_csgm_penalty_draws_latents_to_zero(make_problem: Any, generator: Generator) -> None:
    free, held = (csgm(make_problem(), generator, steps=60, z_penalty=weight).latents for weight in (0.0, 100.0))
    assert free is not None and held is not None
    assert held.norm() < 0.2 * free.norm()


def test_iagan_reaches_below_csgm(make_problem: Any, generator: Generator) -> None:
    problem = make_problem()
    start = csgm(problem, generator, steps=100)
    found = iagan(problem, generator, start, steps=60, lr_weights=1e-3)
    assert found.trace is not None and found.latents is not None
    assert (problem.residual(found.images) < 0.5 * problem.residual(start.images)).all()
    torch.testing.assert_close(found.trace[:, 0], problem.residual(start.images))


def test_iagan_is_two_adams_on_a_copy_of_the_generator(make_problem: Any, generator: Generator) -> None:
    """Compared with plain PyTorch: one image at a time, over the module's own parameters."""
    problem = make_problem(dtype=torch.float64)
    generator.double()
    start = csgm(problem, generator, steps=5)
    found = iagan(problem, generator, start, steps=25, lr_z=2e-3, lr_weights=1e-3, keep="last")
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    for row in range(len(problem)):
        generator.load_state_dict(before)
        expected = _plain_iagan(problem[row : row + 1], generator, start[row : row + 1], steps=25)
        torch.testing.assert_close(found.images[row], expected, rtol=0, atol=1e-8)


def _plain_iagan(problem: Problem, generator: Generator, start: Reconstruction, steps: int) -> torch.Tensor:
    assert start.latents is not None
    generator.requires_grad_(True)
    z = start.latents.clone().requires_grad_()
    adams = torch.optim.Adam([z], lr=2e-3), torch.optim.Adam(generator.parameters(), lr=1e-3)
    for _ in range(steps):
        x = generator.image(z)
        loss = (problem.y - problem.operator.A(x)).square().sum()
        for adam in adams:
            adam.zero_grad()
        loss.backward()
        for adam in adams:
            adam.step()
    return x[0].detach()


def test_iagan_leaves_the_generator_as_it_was(make_problem: Any, generator: Generator) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    problem = make_problem()
    iagan(problem, generator, csgm(problem, generator, steps=2), steps=3, lr_weights=0.1)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())


def test_iagan_needs_latents_to_start_from(make_problem: Any, generator: Generator) -> None:
    problem = make_problem()
    with pytest.raises(UserError, match="csgm"):
        iagan(problem, generator, bicubic(problem))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([2, 4, 8]), error=st.floats(0.001, 10))
def test_exact_back_projection_never_moves_away_from_the_truth(seed: int, scale: int, error: float) -> None:
    A = Bicubic(SHAPE, rng(), scale=scale).to("cpu", torch.float64)
    truth = torch.rand(2, *SHAPE, generator=rng(seed), dtype=torch.float64)
    estimate = truth + error * torch.randn(truth.shape, generator=rng(seed + 1), dtype=torch.float64)
    problem = Problem(A.A(truth), A, "s", "c", ("0", "1"))
    found = back_projection(problem, Reconstruction(estimate)).images
    assert problem.residual(found).max() < 1e-12 * (1 + error**2)
    assert ((found - truth).norm() <= (estimate - truth).norm() * (1 + 1e-9)).all()


def test_bicubic_back_projection_agrees_with_y_only_roughly(make_problem: Any, truth: Any) -> None:
    problem = make_problem()
    start = Reconstruction(torch.full((4, *SHAPE), 0.5), torch.zeros(4, 6), status=("ok", "ok", "diverged", "ok"))
    found = back_projection(problem, start, dagger="bicubic")
    up = functional.interpolate(problem.y - problem.operator.A(start.images), scale_factor=4, mode="bicubic")
    torch.testing.assert_close(found.images, start.images + up)
    assert (problem.residual(found.images) > 1e-6).all()
    assert (problem.residual(found.images) < problem.residual(start.images)).all()
    assert found.status == start.status
    with pytest.raises(UserError, match="dagger: exact"):
        back_projection(make_problem(Identity(SHAPE, rng())), start, dagger="bicubic")


def test_skip_network_has_the_published_number_of_parameters() -> None:
    count = sum(parameter.numel() for parameter in Skip(depth=32, channels=128, skip=4, scales=5).parameters())
    assert count == 2_217_831


@pytest.mark.parametrize("height, width", [(16, 16), (17, 30), (9, 23)])
def test_skip_network_keeps_any_size(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width, generator=rng())
    y = Skip(depth=3, channels=4, skip=2, scales=3)(x)
    assert y.shape == (1, 3, height, width)
    assert 0 < y.min() < y.max() < 1


def test_skip_weights_are_drawn_as_torch_does() -> None:
    net = Skip(depth=8, channels=16, skip=4, scales=2)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    draw_convolutions(net, rng(1))
    for name, value in net.state_dict().items():
        if value.ndim == 4 and value.numel() > 1000:
            assert value.std().item() == pytest.approx(state[name].std().item(), rel=0.1)
            assert not torch.equal(value, state[name])
    again = Skip(depth=8, channels=16, skip=4, scales=2)
    draw_convolutions(again, rng(1))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())


def test_dip_fits_and_returns_the_last_output(make_problem: Any) -> None:
    problem = make_problem(count=2)
    found = dip(problem, steps=40, channels=8, scales=2, input_depth=4)
    assert found.trace is not None
    torch.testing.assert_close(problem.residual(found.images) / problem.y[0].numel(), found.trace[:, -1])
    assert (found.trace[:, -1] < 0.3 * found.trace[:, 0]).all()


def test_dip_noise_is_new_in_each_step(make_problem: Any) -> None:
    """With a learning rate that changes nothing, the steps differ only by the noise on the input."""
    problem = make_problem(count=1)
    shaken, still = (
        dip(problem, steps=3, lr=1e-30, noise=noise, channels=8, scales=2, input_depth=4).trace for noise in (0.5, 0.0)
    )
    assert shaken is not None and still is not None
    assert len(shaken.unique()) == 3
    assert len(still.unique()) == 1


def test_dip_refuses_images_too_small_for_its_scales(make_problem: Any) -> None:
    with pytest.raises(UserError, match="fewer `scales`"):
        dip(make_problem(), steps=1)
