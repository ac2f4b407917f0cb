from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from reprior.errors import UserError
from reprior.operators.inpaint import Inpaint

SHAPE = (3, 6, 8)


def inpaint(shape=SHAPE, **settings) -> Inpaint:
    return Inpaint(shape, torch.Generator().manual_seed(1), **settings)


def saved(path, pixels) -> str:
    Image.fromarray(np.asarray(pixels)).save(path)
    return str(path)


def test_box_hides_a_centred_square():
    mask = inpaint(kind="box", hole=2).mask
    assert mask.logical_not().nonzero().tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]


def test_a_part_is_given_by_fractions_of_height_and_width():
    mask = inpaint((3, 10, 20), kind="part", rows=[0.3, 0.5], columns=[0.9, 1.0]).mask
    assert mask.logical_not().nonzero().tolist() == [[3, 18], [3, 19], [4, 18], [4, 19]]


@pytest.mark.parametrize("rows", [[0.5], [0.5, 0.5], [0.7, 0.3], [0.1, 0.11], [0.5, 1.2]])
def test_a_part_that_hides_nothing_is_refused(rows):
    with pytest.raises(UserError, match=r"inpaint: rows \[.*give two fractions, the smaller first"):
        inpaint(kind="part", rows=rows, columns=[0.0, 1.0])


def test_random_observes_the_fraction_of_pixels_with_all_their_channels():
    operator = inpaint((3, 100, 100), kind="random", observed=0.2)
    assert abs(operator.mask.double().mean() - 0.2) < 4 * (0.16 / 10_000) ** 0.5
    assert operator.measurement_shape == (3, operator.mask.sum())


def test_true_and_white_are_observed(tmp_path):
    pixels = np.zeros((6, 8), np.uint8)
    pixels[1, 5] = 255
    operator = inpaint(kind="file", file=saved(tmp_path / "mask.png", pixels))
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2))
    assert operator.mask.nonzero().tolist() == [[1, 5]]
    assert operator.A(x).equal(x[:, :, 1, 5, None])
    assert operator.A_adjoint(operator.A(x)).equal(x * operator.mask)


def test_a_colour_mask_of_black_and_white_will_do(tmp_path):
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:3] = 255
    assert inpaint(kind="file", file=saved(tmp_path / "mask.png", pixels)).mask.sum() == 24


@pytest.mark.parametrize(
    ("pixels", "complaint"),
    [
        (np.full((8, 6), 255, np.uint8), "is 8 x 6, the images 6 x 8"),
        (np.full((6, 8), 128, np.uint8), "grey levels"),
        (np.zeros((6, 8), np.uint8), "hides every pixel"),
    ],
)
def test_refuses_a_mask_that_does_not_fit(tmp_path, pixels, complaint):
    with pytest.raises(UserError, match=complaint):
        inpaint(kind="file", file=saved(tmp_path / "mask.png", pixels))


def test_refuses_a_file_that_is_no_image(tmp_path):
    (tmp_path / "mask.png").write_text("<html>quota exceeded</html>")
    for name in ("mask.png", "absent.png"):
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            inpaint(kind="file", file=str(tmp_path / name))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "box"},
        {"kind": "box", "observed": 0.5},
        {"kind": "random", "observed": 0.5, "hole": 2},
        {"kind": "file", "hole": 2},
    ],
)
def test_refuses_settings_of_another_kind(settings):
    with pytest.raises(UserError, match=f"kind `{settings['kind']}` takes"):
        inpaint(**settings)


def test_refuses_a_hole_larger_than_the_image():
    with pytest.raises(UserError, match="a hole of 7 is larger than the images of 6 x 8"):
        inpaint(kind="box", hole=7)
