"""What every data set must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprior.datasets import load_dataset
from reprior.datasets.base import Dataset
from reprior.planning import plugin_folders

FOLDER = Path(__file__).parents[1]
SETTINGS = {"size": 16}


def made() -> Dataset:
    plugin_folders.use([FOLDER])
    return load_dataset({"name": "new-dataset", **SETTINGS}, Path("data/raw"))


def test_images_have_the_declared_shape_and_are_in_0_to_1() -> None:
    dataset = made()
    images = dataset.load(dataset.ids(0, 3))
    assert images.shape == (3, *dataset.image_shape)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1


def test_an_image_depends_on_its_id_alone() -> None:
    dataset = made()
    first, second, third = dataset.ids(0, 3)
    images = dataset.load([first, second, third])
    np.testing.assert_array_equal(dataset.load([third, first]), images[[2, 0]])
    assert (images[0] != images[1]).any()
