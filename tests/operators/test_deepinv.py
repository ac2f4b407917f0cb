"""deepinv's physics as our operators, and ours as its physics, against deepinv itself."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators import make_operator
from reprior.operators.deepinv import as_operator, as_physics, made

SHAPE = (3, 32, 32)
PHYSICS: dict[str, dict[str, Any]] = {
    "inpainting": {"make": "physics.Inpainting", "img_size": [*SHAPE], "mask": 0.5},
    "blur": {"make": "physics.BlurFFT", "img_size": [*SHAPE], "filter": {"make": "physics.functional.gaussian_blur"}},
    "downsampling": {"make": "physics.Downsampling", "img_size": [*SHAPE], "filter": "bicubic", "factor": 4},
    "compressed-sensing": {"make": "physics.CompressedSensing", "img_size": [*SHAPE], "m": 100},
}
OURS: list[dict[str, Any]] = [
    {"name": "bicubic", "scale": 4},
    {"name": "blur", "width": 5},
    {"name": "gaussian", "measurements": 100},
    {"name": "fourier", "ratio": 0.3},
]


@pytest.fixture(scope="module", autouse=True)
def physics() -> ModuleType:
    """deepinv's module, imported only by the process that runs these tests, since that takes seconds."""
    return pytest.importorskip("deepinv.physics", reason="the package deepinv is not installed")


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("spec", PHYSICS.values(), ids=PHYSICS)
def test_an_operator_does_what_its_physics_does(spec: dict[str, Any], x: Tensor) -> None:
    operator = make_operator("s", "c", {"name": "deepinv", "physics": spec}, SHAPE)
    theirs = operator.physics
    y = operator.A(x)
    torch.testing.assert_close(y, theirs.A(x))
    assert operator.measurement_shape == y.shape[1:]
    torch.testing.assert_close(operator.A_adjoint(y), theirs.A_adjoint(y))
    again = operator.A(operator.A_dagger(y))
    assert (again - y).norm() < 1e-4 * y.norm()
    alone = operator.A_dagger(y[:1])
    torch.testing.assert_close(operator.A_dagger(y)[:1], alone, rtol=1e-3, atol=1e-4)


def test_a_random_physics_is_that_of_its_case(x: Tensor) -> None:
    spec = {"name": "deepinv", "physics": PHYSICS["inpainting"]}
    before = torch.random.get_rng_state()
    here, again, other = (make_operator("s", case, spec, SHAPE).A(x) for case in ("c", "c", "d"))
    assert torch.equal(here, again) and not torch.equal(here, other)
    assert torch.equal(torch.random.get_rng_state(), before), "nothing else is drawn otherwise"


@pytest.mark.parametrize("spec", OURS, ids=lambda spec: spec["name"])
def test_a_physics_does_what_its_operator_does(spec: dict[str, Any], x: Tensor) -> None:
    operator = make_operator("s", "c", spec, SHAPE)
    theirs = as_physics(operator)
    y = operator.A(x)
    torch.testing.assert_close(theirs(x), y)
    assert theirs.adjointness_test(x) < 1e-2 * y.norm() * x.norm()
    torch.testing.assert_close(theirs.A_dagger(y), operator.A_dagger(y))
    back = as_operator(theirs, SHAPE)
    torch.testing.assert_close(back.A_adjoint(y), operator.A_adjoint(y))


def test_a_physics_adds_the_noise_of_the_case() -> None:
    flat = as_physics(make_operator("s", "c", {"name": "identity"}, (1, 64, 64)), noise=0.1)
    torch.manual_seed(0)
    assert flat(torch.zeros(1, 1, 64, 64)).std().item() == pytest.approx(0.1, rel=0.05)


def test_a_wrong_adjoint_is_refused(physics: ModuleType) -> None:
    wrong = physics.LinearPhysics(A=lambda x, **_: 2 * x, A_adjoint=lambda y, **_: y)
    with pytest.raises(UserError, match="A_adjoint of LinearPhysics is not the adjoint of its A"):
        as_operator(wrong, SHAPE)


def test_what_is_not_linear_or_does_not_fit_is_refused(physics: ModuleType) -> None:
    with pytest.raises(UserError, match="is no LinearPhysics"):
        as_operator(physics.Haze(), SHAPE)
    with pytest.raises(UserError, match=r"BlurFFT does not take images of shape \(3, 16, 16\)"):
        as_operator(made(PHYSICS["blur"]), (3, 16, 16))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"make": "physics.NoSuch"}, "there is no `physics.NoSuch` in deepinv"),
        ({"make": "physics.BlurFFT", "width": 3}, "deepinv.physics.BlurFFT cannot be made with .*width"),
        ({"make": "models.DnCNN"}, "deepinv.models.DnCNN would download .*, whose hash is not known"),
    ],
)
def test_what_cannot_be_made_is_named(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        made(spec)
