from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprior.datasets.base import edge, glow, paint, ramp
from reprior.datasets.faces_drawn import FACTORS, FacesDrawn, portrait
from reprior.errors import UserError

FACES = FacesDrawn()
IDS = FACES.ids(0, 40)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return FACES.load(IDS)


def test_images_are_float32_in_the_unit_range(images: np.ndarray) -> None:
    assert images.shape == (40, *FACES.image_shape) == (40, 3, 64, 64)
    assert images.dtype == np.float32
    assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1
    assert images.max() - images.min() > 0.7


@settings(max_examples=15, deadline=None)
@given(order=st.lists(st.integers(0, 39), min_size=1, max_size=20))
def test_an_image_is_the_same_bits_in_any_batch(images: np.ndarray, order: list[int]) -> None:
    np.testing.assert_array_equal(FACES.load([IDS[k] for k in order]), images[order])


def test_an_image_is_the_same_bits_alone_and_in_another_instance(images: np.ndarray) -> None:
    for k in (0, 17, 39):
        np.testing.assert_array_equal(FacesDrawn(size=64, split="test").load([IDS[k]])[0], images[k])


def test_images_and_splits_differ(images: np.ndarray) -> None:
    train = FacesDrawn(split="train").load(IDS)
    gaps = [np.abs(a - b).mean() for k, a in enumerate(images) for b in [*images[:k], *train]]
    assert min(gaps) > 0.02


def test_loading_nothing_gives_an_empty_array() -> None:
    assert FACES.load([]).shape == (0, 3, 64, 64)


def test_factors_are_many_and_within_their_ranges() -> None:
    factors = FACES.factors(FACES.ids(0, 2000))
    assert list(factors) == list(FACTORS) and len(factors) >= 20
    for name, (low, high) in FACTORS.items():
        values = factors[name]
        assert values.shape == (2000,)
        assert low <= values.min() < low + 0.02 * (high - low), name
        assert high - 0.02 * (high - low) < values.max() <= high, name


def test_factors_are_uncorrelated_with_each_other_and_with_the_next_image() -> None:
    table = np.stack(list(FACES.factors(FACES.ids(0, 2000)).values()))
    # 0.11 is five standard deviations of the correlation of 2,000 independent pairs.
    between = np.corrcoef(table) - np.eye(len(table))
    following = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in table]
    assert np.abs(between).max() < 0.11
    assert np.abs(following).max() < 0.11


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_alone_changes_the_picture(name: str) -> None:
    ids = FACES.ids(0, 12)
    factors, (grain, strands) = FACES.factors(ids), FACES.grain(ids)
    ends = [portrait(factors | {name: np.full(12, end, np.float32)}, grain, strands) for end in FACTORS[name]]
    change = np.abs(ends[1] - ends[0]).max(axis=(1, 2, 3))
    # Some factors show on some sitters only: the shape of glasses, the density of a beard.
    assert change.max() > 0.03


def test_rendering_needs_no_torch() -> None:
    code = "import sys, reprior.datasets.faces_drawn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ids_are_in_a_fixed_order() -> None:
    assert FACES.ids(122, 3) == ["000122", "000123", "000124"]
    assert FACES.ids(999_999, 1) == ["999999"]
    assert FACES.ids(5, 0) == []


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (0, -1), (999_999, 2), (1_000_000, 1)])
def test_ids_out_of_range_are_refused(first: int, count: int) -> None:
    with pytest.raises(UserError, match=f"0 to 999999, but {count} from {first}"):
        FACES.ids(first, count)


@pytest.mark.parametrize("name", ["12", "0000123", "00012x", "-00001", "٠٠٠٠٠١"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="six digits"):
        FACES.load([IDS[0], name])


def test_edge_is_a_smooth_step_one_softness_wide() -> None:
    distance = np.array([-9, -0.5, -0.25, 0, 0.25, 0.5, 9], np.float32) * 0.2
    np.testing.assert_allclose(edge(distance, 0.2), [0, 0, 5 / 32, 1 / 2, 27 / 32, 1, 1], atol=1e-6)


def test_glow_is_one_at_its_centre_and_a_quarter_at_unit_distance() -> None:
    squared = np.array([0, 1, 3], np.float32)
    np.testing.assert_allclose(glow(squared), [1, 1 / 4, 1 / 16])
    np.testing.assert_array_equal(squared, [0, 1, 3])


def test_paint_mixes_by_cover() -> None:
    image = np.full((1, 3, 1, 3), 0.2, np.float32)
    paint(image, np.array([1, 0.2, 0], np.float32)[:, None, None], np.array([[[0, 0.5, 1]]], np.float32))
    np.testing.assert_allclose(image[0, :, 0], [[0.2, 0.6, 1], [0.2, 0.2, 0.2], [0.2, 0.1, 0]], atol=1e-7)


def test_ramp_meets_its_anchors_and_is_linear_between() -> None:
    anchors = [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (1.0, 0.5, 0.0)]
    colours = ramp(anchors, np.array([0, 0.25, 0.5, 0.75, 1], np.float32)[:, None, None])
    expected = [(0, 0, 1), (0.5, 0, 0.5), (1, 0, 0), (1, 0.25, 0), (1, 0.5, 0)]
    np.testing.assert_allclose(colours[:, :, 0, 0], expected)
