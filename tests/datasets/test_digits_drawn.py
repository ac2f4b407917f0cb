"""Drawn digits: the same bits in any batch, and readable by a person's stand-ins."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprior.datasets.digits_drawn import DOTS, FORMS, MOST_POINTS, NUMBERS, DigitsDrawn, _form, written
from reprior.errors import UserError

DIGITS = DigitsDrawn()
IDS = DIGITS.ids(0, 100)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return DIGITS.load(IDS)


def test_images_are_grey_float32_in_the_unit_range(images: np.ndarray) -> None:
    assert images.shape == (100, *DIGITS.image_shape) == (100, 1, 28, 28)
    assert images.dtype == np.float32
    assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1
    assert DIGITS.steps == ("drawn at 28x28",)


def test_each_is_white_on_black_and_inside(images: np.ndarray) -> None:
    assert np.all(images.max(axis=(1, 2, 3)) > 0.8)
    assert np.all((images < 0.05).mean(axis=(1, 2, 3)) > 0.6)
    many = DIGITS.load(DIGITS.ids(100, 2000))
    edges = np.concatenate([many[:, 0, [0, -1]], many[:, 0, :, [0, -1]].transpose(1, 0, 2)], axis=1)
    assert (edges.max(axis=(1, 2)) > 0.5).mean() < 0.005


@settings(max_examples=15, deadline=None)
@given(order=st.lists(st.integers(0, 99), min_size=1, max_size=40))
def test_an_image_is_the_same_bits_in_any_batch(images: np.ndarray, order: list[int]) -> None:
    np.testing.assert_array_equal(DIGITS.load([IDS[k] for k in order]), images[order])


def test_images_and_splits_differ(images: np.ndarray) -> None:
    train = DigitsDrawn(split="train").load(IDS)
    gaps = [np.abs(a - b).mean() for k, a in enumerate(images) for b in [*images[:k], *train]]
    assert min(gaps) > 0.005


def test_a_label_is_the_last_digit_of_the_id() -> None:
    assert DIGITS.labels(["000000", "000123", "999999"]).tolist() == [0, 3, 9]
    assert np.bincount(DIGITS.labels(IDS)).tolist() == [10] * 10


def test_bad_requests_are_refused() -> None:
    with pytest.raises(UserError, match="DigitsDrawn has images 0 to 999999"):
        DIGITS.ids(999_999, 2)
    with pytest.raises(UserError, match="DigitsDrawn has no image '7'"):
        DIGITS.load(["7"])


def test_nearest_neighbours_read_new_digits() -> None:
    train = DigitsDrawn(split="train")
    known, new = train.ids(0, 2000), DIGITS.ids(0, 300)
    a, b = (source.load(ids).reshape(len(ids), -1) for source, ids in ((train, known), (DIGITS, new)))
    nearest = (np.square(a).sum(axis=1) - 2 * b @ a.T).argmin(axis=1)
    assert (train.labels(known)[nearest] == DIGITS.labels(new)).mean() > 0.97


def test_a_network_that_knows_only_mnist_reads_them(shared_data: Path) -> None:
    import torch

    from reprior.networks.robust import labels

    ids = DIGITS.ids(0, 1000)
    seen = labels(torch.from_numpy(DIGITS.load(ids)), shared_data / "classifiers/mnist.pth").numpy()
    assert (seen == DIGITS.labels(ids)).mean() > 0.97


@pytest.mark.parametrize(
    ("digit", "form"), [(digit, form) for digit, forms in enumerate(FORMS) for form in range(len(forms))]
)
def test_dots_pass_through_the_points_of_a_form(digit: int, form: int) -> None:
    strokes = FORMS[digit][form]
    points, weights = _form(strokes)
    expected = np.array(list(dict.fromkeys(itertools.chain(*strokes))))
    assert weights.shape == (DOTS, MOST_POINTS)
    np.testing.assert_allclose(points[: len(expected)], expected, rtol=1e-6)
    dots = weights @ points
    np.testing.assert_allclose(dots.mean(axis=0), 0, atol=1e-6)
    # The dots are moved to their centre of mass. A corner may fall between two dots.
    moved_back = dots - dots[0] + np.array(strokes[0][0])
    gaps = np.hypot(*(moved_back[:, None] - expected).transpose(2, 0, 1)).min(axis=0)
    assert gaps.max() < 0.09
    steps = np.hypot(*np.diff(dots, axis=0).T)
    assert (steps > 0.12).sum() <= len(strokes) - 1, "only between strokes is the pen lifted"


def test_the_hand_changes_the_picture() -> None:
    labels = np.array([5])
    middle = np.full((1, NUMBERS), 0.5, np.float32)
    base = written(labels, middle, 28)
    points = np.unique(np.array(FORMS[5][1][0] + FORMS[5][1][1] + FORMS[5][1][2]), axis=0)
    for number in [*range(10), *range(10, 10 + 2 * len(points))]:
        other = middle.copy()
        other[0, number] = 0.1
        assert np.abs(written(labels, other, 28) - base).max() > 0.03, number
    thick, thin = (written(labels, np.where(np.arange(NUMBERS) == 7, pen, middle), 28) for pen in (1.0, 0.0))
    assert thick.sum() > 1.5 * thin.sum()
