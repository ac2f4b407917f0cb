from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from reprior.errors import UserError
from reprior.operators.fourier import Fourier


def fourier(size: int, ratio: float, seed: int = 1, **settings) -> Fourier:
    return Fourier((1, size, size), torch.Generator().manual_seed(seed), ratio=ratio, **settings)


@pytest.mark.parametrize("size", [64, 128, 1024])
@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_the_mask_holds_the_stated_ratio_to_one_entry(size, ratio):
    operator = fourier(size, ratio)
    assert abs(operator.actual_ratio - ratio) <= 0.5 / (size // 2) ** 2
    assert operator.actual_ratio == operator.mask.double().mean()
    assert operator.measurement_shape == (1, 2, operator.mask.sum())


@pytest.mark.parametrize("size", [128, 1024])
@pytest.mark.parametrize(("ratio", "realised"), [(0.3, 0.357), (0.5, 0.538)])
def test_the_released_formula_overshoots_as_released(size, ratio, realised):
    assert abs(fourier(size, ratio, mask="released").actual_ratio - realised) < (0.006 if size == 128 else 0.001)


@pytest.mark.parametrize(("constant", "ratio"), [(0.2605, 0.3), (0.434, 0.5)])
def test_the_two_masks_are_one_family(constant, ratio):
    """At c = 0.2605 and 0.434 the released formula has the ratios 0.30 and 0.50, and the density of the other mask."""
    released, exact = fourier(128, constant, mask="released"), fourier(128, ratio)
    assert abs(released.actual_ratio - ratio) < 0.006
    densities = [avg_pool2d(operator.mask.float()[None], 16)[0] for operator in (released, exact)]
    assert (densities[0] - densities[1]).abs().mean() < 0.05


def test_the_mask_is_the_half_normal_family_mirrored():
    operator = fourier(16, 0.5, mask="released")
    draws = torch.randn(2, 64, generator=torch.Generator().manual_seed(1)).double().numpy()
    expected = np.zeros((16, 16), dtype=bool)
    for a, b in draws.T:
        i, j = math.floor(abs(a) * 4) % 8, math.floor(abs(b) * 4) % 8
        for row, column in ((i, j), (15 - i, j), (i, 15 - j), (15 - i, 15 - j)):
            expected[row, column] = True
    assert (operator.mask.numpy() == expected).all()


def test_low_frequencies_are_dense():
    mask = fourier(128, 0.3).mask[:64, :64].double()
    assert mask[:10, :10].mean() > 0.7 > 0.1 > mask[40:, 40:].mean()


def test_the_mask_is_the_same_each_time_and_differs_by_seed():
    assert fourier(64, 0.3).mask.equal(fourier(64, 0.3).mask)
    assert not fourier(64, 0.3).mask.equal(fourier(64, 0.3, seed=2).mask)


@pytest.mark.parametrize("ratio", [0.65, 1.0])
def test_refuses_ratios_that_the_family_cannot_reach(ratio):
    with pytest.raises(UserError, match=r"at most 0\.632"):
        fourier(64, ratio)


@pytest.mark.parametrize("shape", [(3, 16, 18), (3, 15, 15)])
def test_refuses_images_that_are_not_square_and_even(shape):
    with pytest.raises(UserError, match="square of even size"):
        Fourier(shape, torch.Generator().manual_seed(1), ratio=0.3)


def test_measures_the_orthonormal_transform():
    operator = Fourier((3, 16, 16), torch.Generator().manual_seed(1), ratio=0.4).to("cpu", torch.float64)
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = np.fft.fft2(x.numpy())[:, :, operator.mask.numpy()] / 16
    np.testing.assert_allclose(operator.A(x)[:, :, 0], expected.real, atol=1e-13)
    np.testing.assert_allclose(operator.A(x)[:, :, 1], expected.imag, atol=1e-13)


def test_the_adjoint_is_the_zero_filled_inverse_transform():
    operator = fourier(16, 0.4).to("cpu", torch.float64)
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = np.fft.ifft2(np.fft.fft2(x.numpy()) * operator.mask.numpy()).real
    np.testing.assert_allclose(operator.A_adjoint(operator.A(x)), expected, atol=1e-13)
