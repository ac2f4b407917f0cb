"""A made-up LSUN database in its zip."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from reprior.datasets.lsun_church import LIMIT, SOURCES, Database, LSUNChurch
from reprior.errors import UserError
from reprior.planning import plugins
from reprior.training.data import read_material
from reprior.training.recipe import Recipe

RNG = np.random.default_rng(0)
PATHS = {partition: names[0] for partition, names in SOURCES["partition"].items()}
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


def placed(raw: Path, content: bytes, partition: str = "validation", folder: str | None = None) -> Path:
    path = raw / PATHS[partition]
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/lock.mdb", bytes(8192))
        archive.writestr(f"{folder or path.stem}/data.mdb", content)
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


def test_training_photographs_are_in_an_archive_of_their_own(tmp_path: Path) -> None:
    folders = [tmp_path / "train", tmp_path / "validation"]
    for folder, keys, partition in zip(folders, (KEYS[:2], KEYS[2:]), PATHS, strict=True):
        folder.mkdir()
        placed(tmp_path, database(folder, {key: webp(PIXELS[key]) for key in keys}), partition)
    assert LSUNChurch(tmp_path, partition="train").names == sorted(KEYS[:2])
    assert LSUNChurch(tmp_path).names == KEYS[2:]
    recipe = Recipe(steps=1, lr=1.0, images=None, held_out=1)
    material = read_material({"name": "lsun-church", "partition": "train", "size": 256}, recipe, tmp_path)
    shown = [PIXELS[key][:, 22:278].transpose(2, 0, 1) for key in (*sorted(KEYS[:2]), KEYS[2])]
    assert np.array_equal(material.training, shown[:2])
    assert np.array_equal(material.held_out, shown[2:])


def test_a_plan_fetches_what_a_training_reads() -> None:
    spec = {"name": "lsun-church", "size": 64}
    assert plugins.sources("dataset", {**spec, "partition": "validation"}) == (PATHS["validation"],)
    assert set(plugins.sources("dataset", {**spec, "partition": "train"})) == set(PATHS.values())


def test_photographs_may_be_stretched_to_a_square(tmp_path: Path, good: bytes) -> None:
    churches = LSUNChurch(placed(tmp_path, good), fit="stretch")
    whole = Image.fromarray(PIXELS[KEYS[0]]).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(churches.load(KEYS[:1])[0] * 255, np.asarray(whole).transpose(2, 0, 1), atol=1e-4)
    assert churches.steps == ("resize 64x64 bilinear", "divide by 255")


def test_entries_are_read_when_asked_for(tmp_path: Path, good: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(good)
    entries = Database(tmp_path / "data.mdb")
    (tmp_path / "data.mdb").unlink()
    assert dict(entries) == {key: webp(PIXELS[key]) for key in KEYS}
    assert "abc" not in entries
    with pytest.raises(KeyError):
        entries["abc"]


def test_nothing_is_left_on_disk(tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    churches = LSUNChurch(placed(tmp_path, good))
    assert churches.size == 3
    assert list(scratch.iterdir()) == []
    assert churches.load(churches.names).shape == (3, 3, 64, 64)


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
        LSUNChurch(placed(tmp_path, good, folder="../church_outdoor_val_lmdb")).ids(0, 1)


def test_a_full_disk_is_told_of(tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot be unpacked into .*No space left.*TMPDIR"):
        LSUNChurch(placed(tmp_path, good)).ids(0, 1)


def test_the_training_database_is_below_the_limit() -> None:
    """Photographs do not shrink in a zip, so the database is hardly larger than its archive."""
    from reprior.acquire.registry import sources

    size = sources()[PATHS["train"]].accepts[0].size
    assert size is not None and 1.5 * size < LIMIT
