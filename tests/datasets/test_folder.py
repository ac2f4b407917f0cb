"""The user's own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.datasets.folder import Folder
from reprior.errors import UserError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray = PIXELS, **options: object) -> None:
    Image.fromarray(pixels).save(path, **options)


def test_ids_are_the_sorted_stems_and_not_the_order_of_the_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.bmp", "c.png", "B.png", "ä.png", ".hidden.png"):
        save(tmp_path / name)
    (tmp_path / "subfolder").mkdir()
    folder = Folder(path=str(tmp_path))
    assert folder.names == ["B", "a", "b", "c", "ä"]
    assert folder.ids(1, 2) == ["a", "b"]


def test_the_centre_is_cropped_and_scaled(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    centre = PIXELS[:, 8:56]
    whole = Folder(path=str(tmp_path), size=48)
    assert np.array_equal(whole.load(["a"])[0] * 255, centre.transpose(2, 0, 1))
    scaled = Image.fromarray(centre).resize((20, 20), Image.Resampling.LANCZOS)
    folder = Folder(path=str(tmp_path), size=20)
    assert np.array_equal(folder.load(["a"])[0] * 255, np.asarray(scaled).transpose(2, 0, 1))
    assert folder.steps == (
        "turn as EXIF says",
        "crop to the centre square",
        "resize 20x20 lanczos",
        "divide by 255",
    )


def test_an_image_is_turned_as_exif_says_and_then_cropped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    save(tmp_path / "a.png", exif=exif)
    turned = np.rot90(PIXELS)[8:56]
    assert np.array_equal(Folder(path=str(tmp_path), size=48).load(["a"])[0] * 255, turned.transpose(2, 0, 1))


def test_exact_takes_images_of_the_size_alone(tmp_path: Path) -> None:
    save(tmp_path / "a.png", PIXELS[:, :48])
    save(tmp_path / "b.png")
    exact = Folder(path=str(tmp_path), size=48, fit="exact")
    assert np.array_equal(exact.load(["a"])[0] * 255, PIXELS[:, :48].transpose(2, 0, 1))
    assert exact.steps == ("turn as EXIF says", "divide by 255")
    with pytest.raises(UserError, match=r"b.png: is 64 x 48, not 48 x 48; scale it or use `fit: centre-crop`"):
        exact.load(["b"])


def test_two_files_of_one_id_are_told_of(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "a.bmp")
    with pytest.raises(UserError, match=r"a.png: has the same id 'a' as a.bmp; rename one"):
        Folder(path=str(tmp_path)).ids(0, 1)


def test_an_unreadable_file_is_told_of_when_it_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    folder = Folder(path=str(tmp_path))
    assert folder.load(["a"]).shape == (1, 3, 64, 64)
    for name in ("notes.txt", "cut.png"):
        with pytest.raises(UserError, match=f"{name}: cannot be read as an image .*replace or remove it"):
            folder.load([Path(name).stem])
    with pytest.raises(UserError, match="Folder has no image 'other'"):
        folder.load(["other"])


def test_a_folder_without_images_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("file", "missing"):
        with pytest.raises(UserError, match=f"{name}: is not a folder"):
            Folder(path=str(tmp_path / name)).ids(0, 1)
    with pytest.raises(UserError, match="empty: is empty; put images into it"):
        Folder(path=str(tmp_path / "empty")).ids(0, 1)


def test_real_photographs_of_any_size(shared_data: Path) -> None:
    folder = Folder(path=str(shared_data / "church"), size=128)
    images = folder.load(folder.names)
    assert images.shape == (9, 3, 128, 128) and images.std() > 0.15
