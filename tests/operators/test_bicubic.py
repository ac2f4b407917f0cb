from __future__ import annotations

import numpy as np
import pytest
import torch

from reprior.errors import UserError
from reprior.operators.bicubic import Bicubic


def bicubic(shape=(3, 32, 32), **settings) -> Bicubic:
    return Bicubic(shape, torch.Generator(), **settings).to("cpu", torch.float64)


def keys(u: float, a: float = -0.5) -> float:
    u = abs(u)
    if u <= 1:
        return (a + 2) * u**3 - (a + 3) * u**2 + 1
    return a * u**3 - 5 * a * u**2 + 8 * a * u - 4 * a if u < 2 else 0.0


def strided_convolution(x: torch.Tensor, s: int, padding: str) -> torch.Tensor:
    """The formula as IAGAN and PULSE write it for even s: a 4s x 4s kernel, padding of 3s/2, stride s."""
    k = np.array([keys((i - 2 * s + 0.5) / s) for i in range(4 * s)])
    kernel = np.outer(k, k) / np.outer(k, k).sum()
    pad = (4 * s - s) // 2
    mode = "constant" if padding == "zero" else "reflect"
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(2, 3))[:, :, ::s, ::s]
    return torch.from_numpy(np.einsum("nchwij,ij->nchw", windows, kernel))


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_is_the_strided_convolution(scale, padding):
    x = torch.rand(2, 3, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = bicubic((3, 32, 48), scale=scale, padding=padding).A(x)
    torch.testing.assert_close(y, strided_convolution(x, scale, padding), rtol=0, atol=1e-14)


def test_zero_padding_darkens_the_border():
    y = bicubic(scale=4).A(torch.ones(1, 3, 32, 32, dtype=torch.float64))[0, 0]
    assert (round(float(y[0, 0]), 2), round(float(y[0, 4]), 2)) == (0.85, 0.92)
    torch.testing.assert_close(y[2:-2, 2:-2], torch.ones(4, 4, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_reflection_keeps_constants(scale):
    y = bicubic(scale=scale, padding="reflect").A(torch.full((1, 3, 32, 32), 0.3, dtype=torch.float64))
    torch.testing.assert_close(y, torch.full_like(y, 0.3))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_is_centred_for_even_and_odd_scales(scale):
    """A linear ramp stays a ramp, at the middles of the blocks: nothing is shifted."""
    x = torch.arange(36, dtype=torch.float64).expand(1, 1, 36, 36)
    y = bicubic((1, 36, 36), scale=scale, padding="reflect").A(x)[0, 0, 0]
    middles = torch.arange(36 // scale, dtype=torch.float64) * scale + (scale - 1) / 2
    torch.testing.assert_close(y[2:-2], middles[2:-2])


def test_scale_one_changes_nothing():
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(bicubic(scale=1).A(x), x)


def test_upsampling_is_near_the_pseudo_inverse_and_is_not_it():
    """On uniform noise it misses the measurements by 0.19 of their size, as the released code does."""
    operator = bicubic((3, 128, 128), scale=4)
    y = torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    miss = (operator.A(operator.upsample(y)) - y).norm() / y.norm()
    assert operator.upsample(y).shape == (2, 3, 128, 128)
    assert abs(miss - 0.19) < 0.01


def test_refuses_a_scale_that_does_not_divide():
    with pytest.raises(UserError, match="scale 5 does not divide images of 32 x 32"):
        bicubic(scale=5)


def test_refuses_to_reflect_beyond_the_far_side():
    with pytest.raises(UserError, match="farther than the image's 32 pixels"):
        bicubic(scale=32, padding="reflect")
