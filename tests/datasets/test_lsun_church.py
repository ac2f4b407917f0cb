"""A made-up LSUN database in its zip."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from reprior.datasets.lsun_church import DATABASE, SOURCES, LSUNChurch
from reprior.errors import UserError

RNG = np.random.default_rng(0)
KEYS = ["f" * 40, "0" * 39 + "a", "5" * 40]
PIXELS = {key: RNG.integers(0, 256, (256, 300, 3), dtype=np.uint8) for key in KEYS}


def database(folder: Path, entries: dict[str, bytes]) -> bytes:
    with lmdb.open(str(folder / "db"), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    return (folder / "db/data.mdb").read_bytes()


def webp(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "WEBP", lossless=True)
    return content.getvalue()


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    return database(tmp_path, {key: webp(pixels) for key, pixels in PIXELS.items()})


def placed(raw: Path, content: bytes, name: str = DATABASE) -> Path:
    (raw / SOURCES[0]).parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(raw / SOURCES[0], "w") as archive:
        archive.writestr("church_outdoor_val_lmdb/lock.mdb", bytes(8192))
        archive.writestr(name, content)
    return raw


def test_images_are_read_by_their_keys(tmp_path: Path, good: bytes) -> None:
    churches = LSUNChurch(placed(tmp_path, good), size=256)
    assert churches.names == sorted(KEYS)
    images = churches.load([KEYS[0], KEYS[2]])
    for image, key in zip(images, (KEYS[0], KEYS[2]), strict=True):
        assert np.array_equal(image * 255, PIXELS[key][:, 22:278].transpose(2, 0, 1))
    small = LSUNChurch(tmp_path)
    assert small.load(small.ids(0, 3)).shape == (3, 3, 64, 64)
    assert small.steps == ("crop to the centre square", "resize 64x64 bilinear", "divide by 255")


def test_nothing_is_left_on_disk(tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assert LSUNChurch(placed(tmp_path, good)).size == 3
    assert list(scratch.iterdir()) == []


def test_an_unknown_key_is_told_of(tmp_path: Path, good: bytes) -> None:
    with pytest.raises(UserError, match="LSUNChurch has no image 'abc'"):
        LSUNChurch(placed(tmp_path, good)).load(["abc"])


@pytest.mark.parametrize("size", [0, 100, 4096, 8192, 12288])
def test_a_truncated_database_is_told_of(tmp_path: Path, good: bytes, size: int) -> None:
    with pytest.raises(UserError, match=r"church_outdoor_val_lmdb.zip: .*data.mdb in it cannot be read"):
        LSUNChurch(placed(tmp_path, good[:size])).ids(0, 1)


@pytest.mark.parametrize("entries", [{"é": b""}, {"a": b"no image"}])
def test_odd_entries_are_told_of(tmp_path: Path, entries: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match="church_outdoor_val_lmdb.zip: .*cannot be read"):
        LSUNChurch(placed(tmp_path, database(tmp_path, entries))).load(list(entries))


def test_another_archive_is_told_of(tmp_path: Path, good: bytes) -> None:
    with pytest.raises(UserError, match="has no file 'church_outdoor_val_lmdb/data.mdb'"):
        LSUNChurch(placed(tmp_path, good, "../church_outdoor_val_lmdb/data.mdb")).ids(0, 1)
