"""NPGD's own test faces: a made-up and the real zip."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.datasets import celeba_csgm64
from reprior.datasets.celeba_csgm64 import CelebACSGM64
from reprior.datasets.npgd_faces import SOURCES, NPGDFaces
from reprior.errors import UserError


def test_a_face_is_its_file_divided_by_255(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    (tmp_path / "npgd").mkdir()
    with zipfile.ZipFile(tmp_path / SOURCES[0], "w") as archive:
        archive.writestr("data/182640.jpg", content.getvalue())
    faces = NPGDFaces(tmp_path)
    images = faces.load(["182640"])
    assert images.dtype == np.float32 and images.shape == (1, *faces.image_shape) == (1, 3, 64, 64)
    np.testing.assert_allclose(images[0].transpose(1, 2, 0) * 255, pixels, atol=1e-4)
    with pytest.raises(UserError, match=r"celebAtest.zip: has no file 'data/182641.jpg'"):
        faces.load(["182641"])
    with pytest.raises(UserError, match="NPGDFaces has no image '182702'"):
        faces.load(["182702"])


def test_a_missing_zip_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"celebAtest.zip: there is no such file"):
        NPGDFaces(tmp_path).load(["182638"])


def test_the_real_faces_are_those_of_csgm(shared_data: Path, tmp_path: Path) -> None:
    for source, file in ((SOURCES[0], "npgd_celebAtest.zip"), (celeba_csgm64.SOURCES[0], "csgm_celebAtest.zip")):
        (tmp_path / source).parent.mkdir()
        (tmp_path / source).symlink_to(shared_data / "celeba" / file)
    faces, csgm = NPGDFaces(tmp_path), CelebACSGM64(tmp_path)
    ids = faces.ids(0, 64)
    assert ids == list(csgm.names)
    psnr = -10 * np.log10(np.square(faces.load(ids) - csgm.load(ids)).mean(axis=(1, 2, 3)))
    assert psnr.mean() == pytest.approx(34.64, abs=0.1) and psnr.min() > 31
