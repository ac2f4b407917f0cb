"""What every operator must do, for many operators and settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from reprior.machine.files import save_tensors
from reprior.operators.base import Operator
from reprior.operators.bicubic import Bicubic
from reprior.operators.block_average import BlockAverage
from reprior.operators.blur import Blur
from reprior.operators.circulant import Circulant
from reprior.operators.designed import Designed
from reprior.operators.fourier import Fourier
from reprior.operators.gaussian import Gaussian
from reprior.operators.identity import Identity
from reprior.operators.inpaint import Inpaint
from reprior.operators.nothing import Nothing

SQUARE, WIDE, ODD = (2, 16, 16), (3, 12, 20), (2, 9, 15)
TIGHT = {"tolerance": 1e-12}
SPECS = [
    (Gaussian, SQUARE, {"ratio": 0.3, **TIGHT}),
    (Gaussian, ODD, {"ratio": 0.916, **TIGHT}),
    (Gaussian, ODD, {"measurements": 1, **TIGHT}),
    (Gaussian, WIDE, {"measurements": 300, **TIGHT}),
    (Fourier, SQUARE, {"ratio": 0.3}),
    (Fourier, SQUARE, {"ratio": 0.5}),
    (Fourier, (1, 2, 2), {"ratio": 0.4}),
    (Fourier, SQUARE, {"ratio": 0.5, "mask": "released"}),
    (Bicubic, SQUARE, {"scale": 4}),
    (Bicubic, WIDE, {"scale": 2, "padding": "reflect"}),
    (Bicubic, ODD, {"scale": 3}),
    (Bicubic, SQUARE, {"scale": 8}),
    (Bicubic, ODD, {"scale": 1, "padding": "reflect"}),
    (BlockAverage, SQUARE, {}),
    (BlockAverage, WIDE, {"scale": 4}),
    (BlockAverage, ODD, {"scale": 3}),
    (BlockAverage, WIDE, {"scale": 2, "layout": "released"}),
    (BlockAverage, (1, 12, 20), {"scale": 2, "layout": "released"}),
    (Blur, SQUARE, {}),
    (Blur, WIDE, {"width": 5, "boundary": "zero"}),
    (Blur, ODD, {"width": 9, "boundary": "reflect"}),
    (Blur, ODD, {"width": 3, "boundary": "circular"}),  # 3 divides 9 and 15: the blur is singular
    (Inpaint, SQUARE, {"kind": "box", "hole": 8}),
    (Inpaint, WIDE, {"kind": "part", "rows": [0.0, 0.5], "columns": [0.25, 0.4]}),
    (Inpaint, WIDE, {"kind": "random", "observed": 0.1}),
    (Inpaint, WIDE, {"kind": "file", "file": "mask.png"}),
    (Circulant, SQUARE, {"ratio": 0.2, **TIGHT}),
    (Circulant, ODD, {"ratio": 0.4, "normalised": True, **TIGHT}),
    (Designed, SQUARE, {"ratio": 0.3, "matrix": "matrix.safetensors"}),
    (Designed, SQUARE, {"measurements": 1, "matrix": "matrix.safetensors"}),
    (Identity, WIDE, {}),
    (Nothing, WIDE, {}),
]
every_operator = pytest.mark.parametrize(
    ("kind", "shape", "settings"), SPECS, ids=[f"{kind.__name__}-{settings}" for kind, _, settings in SPECS]
)


@pytest.fixture(scope="session")
def matrix_file(tmp_path_factory) -> Path:
    """Orthonormal rows for a designed operator, in float64, as the tolerances below ask for."""
    path = tmp_path_factory.mktemp("matrix") / "matrix.safetensors"
    save_tensors(path, {"rows": torch.linalg.qr(images((512,), 512))[0][:200]})
    return path


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch, matrix_file):
    monkeypatch.chdir(tmp_path)
    Path("matrix.safetensors").symlink_to(matrix_file)
    pixels = torch.rand(WIDE[1:], generator=torch.Generator().manual_seed(5)) < 0.7
    Image.fromarray(pixels.numpy()).save("mask.png")


def make(kind: type[Operator], shape, settings, dtype=torch.float64, seed=1) -> Operator:
    return kind(shape, torch.Generator().manual_seed(seed), **settings).to("cpu", dtype)


def images(shape, count=3, dtype=torch.float64, seed=2) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


@every_operator
def test_shapes(kind, shape, settings):
    operator = make(kind, shape, settings)
    y = operator.A(images(shape))
    assert y.shape == (3, *operator.measurement_shape)
    assert operator.image_shape == shape
    assert operator.A_adjoint(y).shape == operator.A_dagger(y).shape == (3, *shape)


@every_operator
def test_adjoint(kind, shape, settings):
    operator = make(kind, shape, settings)
    x, y = images(shape), images(operator.measurement_shape, seed=3)
    forward, back = operator.A(x), operator.A_adjoint(y)
    scale = forward.flatten(1).norm(dim=1) * y.flatten(1).norm(dim=1)
    assert ((inner(forward, y) - inner(x, back)).abs() <= 1e-14 * scale).all()


@every_operator
def test_linear(kind, shape, settings):
    operator = make(kind, shape, settings)
    a, b = images(shape), images(shape, seed=4)
    torch.testing.assert_close(operator.A(2 * a - 3 * b), 2 * operator.A(a) - 3 * operator.A(b))


@every_operator
def test_pseudo_inverse(kind, shape, settings):
    """The four conditions of Moore and Penrose, which only one A^+ meets."""
    operator = make(kind, shape, settings)
    A, dagger = operator.A, operator.A_dagger
    x, y = images(shape), images(operator.measurement_shape, seed=3)
    if kind in (Fourier, Blur):  # rows that depend on each other
        other = images(operator.measurement_shape, seed=6)
        close(inner(A(dagger(y)), other), inner(y, A(dagger(other))))
    else:
        close(A(dagger(y)), y)  # full row rank, where A A^+ is the identity
    y = A(x)
    close(A(dagger(y)), y)
    close(dagger(A(dagger(y))), dagger(y))
    other = images(shape, seed=6)
    close(inner(dagger(y), other), inner(x, dagger(A(other))))


def close(a: Tensor, b: Tensor) -> None:
    assert (a - b).norm() <= 1e-9 * b.norm()


@every_operator
def test_dagger_is_the_dense_pseudo_inverse(kind, shape, settings):
    operator = make(kind, shape, settings)
    n, m = images(shape)[0].numel(), images(operator.measurement_shape)[0].numel()
    matrix = operator.A(torch.eye(n, dtype=torch.float64).view(n, *shape)).reshape(n, m).T
    y = images(operator.measurement_shape, seed=3)
    expected = torch.linalg.pinv(matrix, rtol=1e-10) @ y.flatten(1).T
    close(operator.A_dagger(y).flatten(1), expected.T)


@every_operator
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_its_images_alone(kind, shape, settings, dtype):
    if dtype == torch.float32:
        settings = {name: value for name, value in settings.items() if name != "tolerance"}
    operator = make(kind, shape, settings, dtype)
    x = images(shape, dtype=dtype) * torch.tensor([1, 1e-3, 0]).to(dtype).view(3, 1, 1, 1)
    y = operator.A(x)
    rounding = 100 * torch.finfo(dtype).eps
    # A^+ magnifies rounding by the condition number, and its conjugate gradients stop at the tolerance.
    inverse = 2e-3 if dtype == torch.float32 else 1e-9
    for act, batch, close in (
        (operator.A, x, rounding),
        (operator.A_adjoint, y, rounding),
        (operator.A_dagger, y, inverse),
    ):
        alone = torch.cat([act(one[None]) for one in batch])
        together = act(batch)
        assert together.dtype == dtype
        for a, b in zip(together, alone, strict=True):
            assert (a - b).norm() <= close * b.norm()


@every_operator
def test_the_seed_is_the_operator(kind, shape, settings):
    one, same, other = (make(kind, shape, settings, seed=seed) for seed in (1, 1, 2))
    x = images(shape)
    assert one.A(x).equal(same.A(x))
    random = kind in (Gaussian, Fourier, Circulant) or settings.get("kind") == "random"
    different = one.A(x).shape != other.A(x).shape or not one.A(x).equal(other.A(x))
    assert different == (random and shape != (1, 2, 2))


@every_operator
def test_pictures_are_images(kind, shape, settings):
    operator = make(kind, shape, settings)
    y = operator.A(images(shape))
    picture = operator.picture(y)
    if kind in (Gaussian, Fourier, Circulant, Designed, Nothing) or (
        settings.get("layout") == "released" and shape[0] > 1
    ):
        assert picture is None
    elif kind is Inpaint:
        assert picture.equal(images(shape) * operator.mask)
    else:
        assert picture is y


@every_operator
def test_differentiable(kind, shape, settings):
    """The gradient of ||A x||^2 / 2 is A^T A x."""
    operator = make(kind, shape, settings)
    x = images(shape).requires_grad_()
    (gradient,) = torch.autograd.grad(operator.A(x).square().sum() / 2, x)
    torch.testing.assert_close(gradient, operator.A_adjoint(operator.A(x)))


@every_operator
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_same_on_the_device(kind, shape, settings):
    x = images(shape)
    here, there = make(kind, shape, settings), make(kind, shape, settings).to("cuda", torch.float64)
    y = here.A(x)
    torch.testing.assert_close(there.A(x.cuda()).cpu(), y)
    torch.testing.assert_close(there.A_adjoint(y.cuda()).cpu(), here.A_adjoint(y))
    torch.testing.assert_close(there.A_dagger(y.cuda()).cpu(), here.A_dagger(y), rtol=1e-6, atol=1e-6)
