"""NPGD's own test digits: made-up and real zips."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.acquire.registry import sources
from reprior.datasets.mnist import MNIST
from reprior.datasets.npgd_digits import SOURCES, NPGDDigits
from reprior.errors import UserError

NAMES = ("1", "2", "10", "300")


def picture(name: str) -> Image.Image:
    return Image.fromarray(np.random.default_rng(int(name)).integers(0, 256, (28, 28), dtype=np.uint8))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A zip of grey JPEG digits. Its order is not that of the numbers."""
    path = tmp_path / SOURCES[0]
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(NAMES):
            content = io.BytesIO()
            picture(name).save(content, "JPEG")
            archive.writestr(f"testing_images/data/{name}.jpg", content.getvalue())
    return tmp_path


def decoded(name: str) -> np.ndarray:
    content = io.BytesIO()
    picture(name).save(content, "JPEG")
    return np.asarray(Image.open(content).convert("RGB"))[:, :, 0]


def test_a_digit_is_the_first_channel_of_its_jpeg(raw: Path) -> None:
    digits = NPGDDigits(raw)
    images = digits.load(["300", "10", "1"])
    assert images.dtype == np.float32 and images.shape == (3, *digits.image_shape) == (3, 1, 28, 28)
    for image, name in zip(images, ("300", "10", "1"), strict=True):
        np.testing.assert_allclose(image[0] * 255, decoded(name), atol=1e-4)


def test_ids_are_the_names_of_the_files(raw: Path) -> None:
    digits = NPGDDigits(raw)
    assert digits.size == 300 and digits.ids(0, 3) == ["1", "2", "3"] and digits.names[-1] == "300"
    for name in ("0", "301", "001", "x"):
        with pytest.raises(UserError, match=f"NPGDDigits has no image '{name}'"):
            digits.load([name])
    with pytest.raises(UserError, match=r"mnisttest.zip: has no file 'testing_images/data/3.jpg'"):
        digits.load(["3"])


def test_a_missing_zip_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mnisttest.zip: there is no such file"):
        NPGDDigits(tmp_path).load(["1"])


def test_the_real_digits_are_the_first_of_mnists_test_set(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "npgd").mkdir()
    (tmp_path / SOURCES[0]).symlink_to(shared_data / "mnist/npgd_mnisttest.zip")
    digits, mnist = NPGDDigits(tmp_path), MNIST(shared_data)
    x, y = digits.load(list(digits.names)).reshape(300, -1), mnist.load(mnist.ids(0, 400)).reshape(400, -1)
    errors = (np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T) / 784
    assert np.array_equal(errors.argmin(axis=1), np.arange(300))
    assert 255 * np.sqrt(errors.min(axis=1)).mean() == pytest.approx(5.15, abs=0.1)


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("npgd/mnisttest.zip", "mnist/npgd_mnisttest.zip"),
        ("npgd/celebAtest.zip", "celeba/npgd_celebAtest.zip"),
        ("classifiers/mnist.pth", "classifiers/mnist.pth"),
    ],
)
def test_a_folder_of_copies_stands_in_for_the_download(
    shared_data: Path, tmp_path: Path, source: str, file: str
) -> None:
    from reprior.acquire import mirrors

    variants = sources()[source].accepts
    assert variants[0].urls and variants[0].sha256
    found = mirrors.find(variants, [(shared_data / file).parent])
    assert found is not None and found[0] == shared_data / file
