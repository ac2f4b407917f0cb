from __future__ import annotations

import pytest
import torch
from scipy.ndimage import uniform_filter

from reprior.errors import UserError
from reprior.operators.blur import Blur

SCIPY = {"circular": "wrap", "zero": "constant", "reflect": "mirror"}


@pytest.mark.parametrize("boundary", SCIPY)
@pytest.mark.parametrize("width", [1, 3, 9])
def test_is_scipys_uniform_filter(boundary, width):
    x = torch.rand(2, 3, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    operator = Blur((3, 16, 24), torch.Generator(), width=width, boundary=boundary).to("cpu", torch.float64)
    expected = uniform_filter(x.numpy(), size=(1, 1, width, width), mode=SCIPY[boundary])
    torch.testing.assert_close(operator.A(x), torch.from_numpy(expected))


def test_reflects_unless_told_otherwise():
    blur, reflected = (Blur((3, 16, 16), torch.Generator(), **how) for how in ({}, {"boundary": "reflect"}))
    assert blur.P.equal(reflected.P)


def test_the_pseudo_inverse_of_a_singular_blur_reproduces_what_was_measured():
    """Reflected, a width of 9 has rank 60 of 64 along each axis."""
    blur = Blur((3, 64, 64), torch.Generator()).to("cpu", torch.float64)
    assert torch.linalg.matrix_rank(blur.P) == 60
    y = blur.A(torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(blur.A(blur.A_dagger(y)), y, rtol=0, atol=1e-9)


def test_refuses_even_widths():
    with pytest.raises(UserError, match="width 8 is even"):
        Blur((3, 16, 16), torch.Generator(), width=8)


def test_refuses_to_reflect_beyond_the_far_side():
    with pytest.raises(UserError, match="farther than the image's 4 pixels"):
        Blur((3, 4, 4), torch.Generator(), boundary="reflect")
