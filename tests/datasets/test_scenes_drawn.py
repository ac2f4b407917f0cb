from __future__ import annotations

import numpy as np
import pytest

from reprior.datasets.faces_drawn import FacesDrawn
from reprior.datasets.scenes_drawn import ScenesDrawn
from reprior.errors import UserError

SCENES = ScenesDrawn()


@pytest.fixture(scope="module")
def scenes() -> np.ndarray:
    return SCENES.load(SCENES.ids(0, 60))


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    train = FacesDrawn(split="train")
    return train.load(train.ids(0, 300))


@pytest.fixture(scope="module")
def new_faces() -> np.ndarray:
    test = FacesDrawn(split="test")
    return test.load(test.ids(0, 60))


def test_images_are_float32_in_the_unit_range(scenes: np.ndarray) -> None:
    assert scenes.shape == (60, *SCENES.image_shape) == (60, 3, 64, 64)
    assert scenes.dtype == np.float32
    assert np.isfinite(scenes).all() and scenes.min() >= 0 and scenes.max() <= 1


def test_an_image_is_the_same_bits_in_any_batch(scenes: np.ndarray) -> None:
    for chosen in ([0], [59, 3], list(range(40, 20, -1))):
        np.testing.assert_array_equal(SCENES.load([f"{k:06d}" for k in chosen]), scenes[chosen])


def test_images_and_splits_differ(scenes: np.ndarray) -> None:
    train = ScenesDrawn(split="train").load(SCENES.ids(0, 20))
    gaps = [np.abs(a - b).mean() for k, a in enumerate(scenes[:20]) for b in [*scenes[:k], *train]]
    assert min(gaps) > 0.02


def test_bad_requests_are_refused() -> None:
    with pytest.raises(UserError, match="ScenesDrawn has images 0 to 999999"):
        SCENES.ids(999_990, 11)
    with pytest.raises(UserError, match="ScenesDrawn has no image 'house'"):
        SCENES.load(["house"])


def test_scenes_are_further_from_faces_than_new_faces_are(
    scenes: np.ndarray, faces: np.ndarray, new_faces: np.ndarray
) -> None:
    def nearest(images: np.ndarray) -> np.ndarray:
        return np.array([((faces - image) ** 2).mean(axis=(1, 2, 3)).min() for image in images])

    assert np.median(nearest(scenes)) > 1.5 * np.median(nearest(new_faces))


def test_what_faces_have_in_common_does_not_explain_scenes(
    scenes: np.ndarray, faces: np.ndarray, new_faces: np.ndarray
) -> None:
    flat = faces.reshape(len(faces), -1)
    mean = flat.mean(axis=0)
    axes = np.linalg.svd(flat - mean, full_matrices=False)[2][:100]

    def residual(images: np.ndarray) -> np.ndarray:
        centred = images.reshape(len(images), -1) - mean
        return ((centred - centred @ axes.T @ axes) ** 2).mean(axis=1)

    assert np.quantile(residual(scenes), 0.05) > np.quantile(residual(new_faces), 0.95)
