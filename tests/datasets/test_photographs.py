"""CelebA and CelebA-HQ, read from zips like the published ones."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.datasets.celeba import SOURCES as CELEBA
from reprior.datasets.celeba import CelebA
from reprior.datasets.celebahq import SOURCES as CELEBAHQ
from reprior.datasets.celebahq import CelebAHQ
from reprior.errors import UserError


def write_zip(path: Path, name: str, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")  # exact; the reader goes by content and not by suffix
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content.getvalue())


def test_celeba_cuts_the_stated_square(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (218, 178, 3), dtype=np.uint8)
    write_zip(tmp_path / CELEBA[0], "img_align_celeba/182638.jpg", pixels)
    faces = CelebA(tmp_path, crop="generator-surgery", size=128)
    image = faces.load(faces.ids(0, 1))[0]
    assert np.array_equal(image, pixels[51:179, 26:154].transpose(2, 0, 1).astype(np.float32) / 255)


def test_celeba_names_an_image_that_is_not_there(tmp_path: Path) -> None:
    write_zip(tmp_path / CELEBA[0], "img_align_celeba/000001.jpg", np.zeros((218, 178, 3), np.uint8))
    with pytest.raises(UserError, match="no image '000002'"):
        CelebA(tmp_path).load(["000002"])
    with pytest.raises(UserError, match="19962"):
        CelebA(tmp_path).ids(0, 19_963)


def test_celebahq_is_read_whole(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    write_zip(tmp_path / CELEBAHQ[0], "CelebAMask-HQ/CelebA-HQ-img/7.jpg", pixels)
    images = CelebAHQ(tmp_path)
    assert np.array_equal(images.load(images.ids(7, 1))[0], pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    with pytest.raises(UserError, match="no image '8'"):
        images.load(["8"])
