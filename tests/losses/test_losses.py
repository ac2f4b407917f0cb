"""Losses compared with closed forms and with the lpips package, and their weighted sums in methods."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.losses import DEFAULT
from reprior.losses.base import WeightedSum
from reprior.losses.lpips import LPIPS, _resizing
from reprior.losses.squared_error import SquaredError
from reprior.methods.base import Problem, solve
from reprior.methods.csgm import csgm
from reprior.operators.base import Operator
from reprior.operators.bicubic import Bicubic
from reprior.operators.gaussian import Gaussian
from reprior.operators.identity import Identity
from reprior.operators.inpaint import Inpaint
from reprior.optimise.loop import Variables, minimise
from tests.methods.conftest import TinyGenerator
from tests.optimise.waits import Waits

SHAPE = (3, 40, 36)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(seed: int, count: int = 2, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.rand(count, *shape, generator=rng(seed))


@pytest.fixture(scope="session")
def package() -> Any:
    """The lpips package's own network, with random weights."""
    import lpips

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lpips.LPIPS(net="squeeze", version="0.1", pnet_rand=True, verbose=False).eval()


@pytest.fixture(scope="session")
def raw(package: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of downloads with that network."""
    folder = tmp_path_factory.mktemp("raw")
    state = {f"features.{key.partition('.')[2]}": value for key, value in package.net.state_dict().items()}
    content = io.BytesIO()
    torch.save(state, content)
    (folder / "lpips").mkdir()
    (folder / "lpips/squeezenet1_1.pth").write_bytes(content.getvalue())
    return folder


def expected(package: Any, x: Tensor, x0: Tensor) -> Tensor:
    return package(x * 2 - 1, x0 * 2 - 1).flatten()


def hiding() -> Inpaint:
    return Inpaint(SHAPE, rng(), kind="box", hole=20)


def test_squared_error_is_its_closed_form() -> None:
    A, x, y = Gaussian(SHAPE, rng(), ratio=0.01), pictures(1), torch.randn(2, 43, generator=rng(2))
    Ax = A.A(x)
    torch.testing.assert_close(SquaredError(y)(x, Ax), (y - Ax).norm(dim=1) ** 2)
    torch.testing.assert_close(SquaredError(y, reduction="mean")(x, Ax), (y - Ax).norm(dim=1) ** 2 / 43)


@pytest.mark.parametrize("operator", [Identity(SHAPE, rng()), Bicubic((3, 80, 72), rng(), scale=2)])
def test_lpips_is_the_packages_and_so_is_its_gradient(package: Any, raw: Path, operator: Operator) -> None:
    x, truth = pictures(1, shape=operator.image_shape).requires_grad_(), pictures(2, shape=operator.image_shape)
    y = operator.A(truth)
    ours = LPIPS(y, operator, raw, net="squeeze")(x, operator.A(x))
    theirs = expected(package, operator.A(x), y)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    gradients = (torch.autograd.grad(loss.sum(), x, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-7)


def test_hidden_pixels_are_filled_with_those_of_the_image(package: Any, raw: Path) -> None:
    A, x = hiding(), pictures(1).requires_grad_()
    y = A.A(pictures(2))
    filled = torch.where(A.mask, A.A_adjoint(y), x)
    both = LPIPS(y, A, raw, net="squeeze")(x, A.A(x))
    one = LPIPS(y, A, raw, net="squeeze", fill="detached")(x, A.A(x))
    none = LPIPS(y, A, raw, net="squeeze", fill="black")(x, A.A(x))
    torch.testing.assert_close(both, expected(package, x, filled), rtol=1e-4, atol=1e-6)
    assert torch.equal(one, both)
    torch.testing.assert_close(none, expected(package, x * A.mask, A.A_adjoint(y)), rtol=1e-4, atol=1e-6)
    through_both, through_one, theirs, detached = (
        torch.autograd.grad(loss.sum(), x, retain_graph=True)[0]
        for loss in (both, one, expected(package, x, filled), expected(package, x, filled.detach()))
    )
    torch.testing.assert_close(through_both, theirs, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(through_one, detached, rtol=1e-3, atol=1e-7)
    assert not torch.allclose(through_both, through_one)


@pytest.mark.parametrize("side", [24, 96])
def test_large_pictures_are_reduced_and_small_ones_enlarged(package: Any, raw: Path, side: int) -> None:
    shape = (3, 48, 48)
    x, y = pictures(1, shape=shape), pictures(2, shape=shape)
    ours = LPIPS(y, Identity(shape, rng()), raw, net="squeeze", **({"side": side} if side < 48 else {"least": side}))
    if side < 48:
        resize = Bicubic(shape, rng(), scale=2, padding="reflect").A
    else:
        resize = partial(functional.interpolate, size=side, mode="bicubic")
    torch.testing.assert_close(ours(x, x), expected(package, resize(x), resize(y)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("height", range(7, 32, 4))
def test_enlarged_pictures_are_as_high_as_asked_for(height: int) -> None:
    assert _resizing(torch.zeros(1, 3, height, 40), 256, 32)(torch.zeros(1, 3, height, 40)).shape[2] == 32


def test_lpips_does_not_wait_for_the_device_after_its_start(raw: Path) -> None:
    A, x = hiding(), pictures(1).requires_grad_()
    loss = LPIPS(A.A(pictures(2)), A, raw, net="squeeze", least=64)
    with Waits() as waits:
        torch.autograd.grad(loss(x, A.A(x)).sum(), x)
    assert waits.found == []


def test_lpips_repeats_one_channel(package: Any, raw: Path) -> None:
    shape = (1, 40, 36)
    x, y = pictures(1, shape=shape), pictures(2, shape=shape)
    ours = LPIPS(y, Identity(shape, rng()), raw, net="squeeze")(x, x)
    torch.testing.assert_close(ours, expected(package, x.expand(2, *SHAPE), y.expand(2, *SHAPE)), rtol=1e-4, atol=1e-6)


def test_lpips_refuses_what_it_cannot_compare(raw: Path) -> None:
    gaussian = Gaussian(SHAPE, rng(), ratio=0.01)
    with pytest.raises(UserError, match="measurements of the operator gaussian are not pictures; use squared-error"):
        LPIPS(torch.zeros(2, 43), gaussian, raw, net="squeeze")
    shape = (3, 2, 2)
    with pytest.raises(UserError, match="pictures of 2 x 2 are too small for net squeeze"):
        LPIPS(torch.zeros(2, *shape), Identity(shape, rng()), raw, net="squeeze")
    with pytest.raises(UserError, match="no such file"):
        LPIPS(torch.zeros(2, *SHAPE), Identity(SHAPE, rng()), raw / "elsewhere", net="squeeze")
    with pytest.raises(UserError, match="side 30 does not divide pictures of 40 x 36"):
        LPIPS(torch.zeros(2, *SHAPE), Identity(SHAPE, rng()), raw, net="squeeze", side=30)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_a_sum_weighs_its_losses(one: float, other: float) -> None:
    x, y, A = pictures(1), pictures(2), Identity(SHAPE, rng())
    specs = [{"name": "squared-error", "weight": one}, {"name": "squared-error", "reduction": "mean", "weight": other}]
    squares = (y - x).square().flatten(1).sum(1)
    torch.testing.assert_close(
        WeightedSum(specs, y, A, Path())(x, A.A(x)), one * squares + other * squares / y[0].numel()
    )


def test_the_default_is_the_residual_to_the_last_bit() -> None:
    x, y, A = pictures(1), pictures(2), Identity(SHAPE, rng())
    assert torch.equal(WeightedSum(DEFAULT, y, A, Path())(x, A.A(x)), (y - A.A(x)).square().flatten(1).sum(1))


def test_a_method_minimises_what_the_study_chose(make_problem: Any, generator: TinyGenerator) -> None:
    problem = make_problem()
    mean = replace(problem, losses=[{"name": "squared-error", "reduction": "mean", "weight": 3.0}])
    ours, usual = (solve(csgm, each, generator, steps=10) for each in (mean, problem))
    torch.testing.assert_close(ours.trace, usual.trace * 3 / problem.y[0].numel(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours.loss, ours.trace.min(1).values)


def test_a_method_with_a_loss_of_its_own_takes_no_other(make_problem: Any, generator: TinyGenerator) -> None:
    def stubborn(problem: Problem, generator: TinyGenerator, *, steps: int) -> Any:
        def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
            x = generator.image(variables["z"])
            return problem.residual(x), {"x": x}

        found = minimise(f, {"z": problem.draw("start", generator.draw_latent)}, steps=steps, lr=0.1)
        return csgm(problem, generator, steps=1) if problem.losses is DEFAULT else found

    chosen = replace(make_problem(), losses=[{"name": "squared-error", "weight": 2.0}])
    with pytest.raises(UserError, match="this method has a loss of its own; remove `loss`"):
        solve(stubborn, chosen, generator, steps=2)
