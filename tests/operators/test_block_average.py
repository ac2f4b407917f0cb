from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.measure import block_reduce

from reprior.errors import UserError
from reprior.operators.block_average import BlockAverage


def block_average(shape, **settings) -> BlockAverage:
    return BlockAverage(shape, torch.Generator(), **settings).to("cpu", torch.float64)


def images(shape, count=2):
    return torch.rand(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def rows_of(operator: BlockAverage) -> np.ndarray:
    """The dense A, [m, n], for images flattened as C, H, W."""
    n = int(np.prod(operator.image_shape))
    return operator.A(torch.eye(n, dtype=torch.float64).view(n, *operator.image_shape)).flatten(1).T.numpy()


def released_rows(side: int, channels: int, f: int) -> np.ndarray:
    """A as the released code means it: one row per block and channel, of images flattened as H, W, C."""
    rows = []
    for channel in range(channels):
        for top in range(0, side, f):
            for left in range(0, side, f):
                block = np.zeros((side, side, channels))
                block[top : top + f, left : left + f, channel] = 1 / f**2
                rows.append(block.reshape(-1))
    return np.array(rows)


@pytest.mark.parametrize(("shape", "f"), [((1, 28, 28), 2), ((3, 12, 20), 4), ((2, 9, 15), 3), ((3, 8, 8), 1)])
def test_is_the_mean_of_each_block(shape, f):
    x = images(shape)
    expected = torch.from_numpy(block_reduce(x.numpy(), (1, 1, f, f), np.mean))
    torch.testing.assert_close(block_average(shape, scale=f).A(x), expected)


@pytest.mark.parametrize("layout", ["blocks", "released"])
@pytest.mark.parametrize("f", [2, 4])
def test_rows_are_orthogonal_and_have_the_same_norm(layout, f):
    A = rows_of(block_average((3, 8, 8), scale=f, layout=layout))
    np.testing.assert_allclose(A @ A.T, np.eye(len(A)) / f**2, atol=1e-15)


def test_the_pseudo_inverse_repeats_each_value():
    operator = block_average((1, 4, 4))
    y = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    repeated = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]], dtype=torch.float64)
    assert operator.A_dagger(y)[0, 0].equal(repeated)
    assert operator.A_adjoint(y)[0, 0].equal(repeated / 4)


@pytest.mark.parametrize(("side", "channels", "f"), [(8, 3, 2), (8, 3, 4), (6, 2, 3)])
def test_the_released_layout_applies_rows_for_channels_last_to_channels_first(side, channels, f):
    shape = (channels, side, side)
    A = rows_of(block_average(shape, scale=f, layout="released"))
    assert np.array_equal(A, released_rows(side, channels, f))


def test_the_first_released_row_averages_pixels_that_lie_apart():
    operator = block_average((3, 64, 64), layout="released")
    first = torch.zeros(1, *operator.measurement_shape, dtype=torch.float64)
    first[0, 0, 0, 0] = 1
    row = operator.A_adjoint(first)[0]
    assert {tuple(place) for place in row.nonzero().tolist()} == {(0, 0, 0), (0, 0, 3), (0, 3, 0), (0, 3, 3)}
    assert row[0, 0, 0] == 0.25


def test_with_one_channel_both_layouts_are_the_same():
    x = images((1, 28, 28))
    blocks, released = (block_average((1, 28, 28), layout=layout) for layout in ("blocks", "released"))
    assert released.A(x).equal(blocks.A(x))
    assert released.picture(released.A(x)).equal(blocks.A(x))


@pytest.mark.parametrize("shape", [(1, 28, 29), (1, 29, 28)])
def test_refuses_a_scale_that_does_not_divide(shape):
    with pytest.raises(UserError, match=rf"scale 2 does not divide images of {shape[1]} x {shape[2]}"):
        block_average(shape)
