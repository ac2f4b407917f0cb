"""Both releases of CUB-200, on archives like the published ones, and the 12 published birds."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from reprior.datasets.birds import SOURCES, Birds, around
from reprior.datasets.birds_glowip64 import SOURCES as GLOWIP
from reprior.datasets.birds_glowip64 import BirdsGlowIP64
from reprior.errors import UserError

BIRDS = {  # file: partition, bounding box (left, top, width, height) as the lists write it
    "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": ("0", (30.0, 27.0, 40.0, 30.0)),
    "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg": ("1", (5.5, 40.0, 21.9, 30.0)),
    "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg": ("0", (139.0, 30.0, 60.0, 90.0)),
}
RNG = np.random.default_rng(0)
PIXELS = {file: RNG.integers(0, 256, (120, 200, 3), dtype=np.uint8) for file in BIRDS}


def write(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def encoded(save: Any) -> bytes:
    content = io.BytesIO()
    save(content)
    return content.getvalue()


def photographs(folder: str) -> dict[str, bytes]:
    return {
        f"{folder}/{file}": encoded(lambda content, pixels=pixels: Image.fromarray(pixels).save(content, "PNG"))
        for file, pixels in PIXELS.items()
    }


def lines(*rows: str) -> bytes:
    return "".join(f"{number} {row}\n" for number, row in enumerate(rows, 1)).encode()


def write_2011(raw: Path, **other: bytes) -> None:
    lists = {
        "images": lines(*BIRDS),
        "train_test_split": lines(*(code for code, _ in BIRDS.values())),
        "bounding_boxes": lines(*(" ".join(map(str, box)) for _, box in BIRDS.values())),
    }
    members = {f"CUB_200_2011/{name}.txt": content for name, content in (lists | other).items()}
    write(raw / SOURCES["release"]["2011"][0], {**photographs("CUB_200_2011/images"), **members})


def write_2010(raw: Path, *, upside_down: bool = False) -> None:
    images, lists, annotations = (raw / source for source in SOURCES["release"]["2010"])
    write(images, photographs("images"))
    test = [file for file, (code, _) in BIRDS.items() if code == "0"]
    train = [file for file, (code, _) in BIRDS.items() if code == "1"]
    write(lists, {"lists/train.txt": "\n".join(train).encode(), "lists/test.txt": "\n".join(test).encode() + b"\n"})
    found = {}
    for file, (_, (x, y, width, height)) in BIRDS.items():
        ends = (y + height, y) if upside_down else (y, y + height)
        box = {"left": x, "right": x + width, "top": ends[0], "bottom": ends[1]}
        mat = encoded(lambda content, box=box: savemat(content, {"bbox": box, "seg": np.zeros((3, 3))}))
        found[f"annotations-mat/{file.removesuffix('.jpg')}.mat"] = mat
    write(annotations, found)


def expected(file: str, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    part = Image.fromarray(PIXELS[file][top:bottom, left:right])
    return np.asarray(part.resize((64, 64), Image.Resampling.BILINEAR)).transpose(2, 0, 1) / np.float32(255)


@pytest.mark.parametrize("release", ["2011", "2010"])
def test_the_square_about_a_bird_is_cut(tmp_path: Path, release: Any) -> None:
    (write_2011 if release == "2011" else write_2010)(tmp_path)
    birds = Birds(tmp_path, release=release)
    assert birds.names == ["Black_Footed_Albatross_0046_18", "Laysan_Albatross_0002_1027"]
    first, second = birds.load(birds.names)
    albatross, _, laysan = BIRDS
    assert np.array_equal(first, expected(albatross, 20, 12, 80, 72))  # half side 30 about (50, 42)
    assert np.array_equal(second, expected(laysan, 102, 8, 200, 120))  # half side 67 about (169, 75), cut three times
    assert Birds(tmp_path, release=release, partition="train").names == ["Black_Footed_Albatross_0009_34"]
    assert birds.steps[1:] == ("resize 64x64 bilinear", "divide by 255")


def test_numbers_of_a_box_are_cut_off_as_glowip_does(tmp_path: Path) -> None:
    write_2011(tmp_path)
    train = Birds(tmp_path, partition="train")
    file = list(BIRDS)[1]  # 5.5 21.9 -> 5, 21: half side int(0.75 x 30) = 22 about (int(15.5), 55)
    assert np.array_equal(train.load(train.names)[0], expected(file, 0, 33, 37, 77))


def test_top_and_bottom_of_2010_may_be_swapped(tmp_path: Path) -> None:
    for name, swapped in (("a", False), ("b", True)):
        write_2010(tmp_path / name, upside_down=swapped)
    one, other = (Birds(tmp_path / name, release="2010") for name in "ab")
    assert np.array_equal(one.load(one.names), other.load(other.names))


def test_the_part_lies_within_the_photograph() -> None:
    assert around((0, 0, 10, 10), 100, 100) == (0, 0, 12, 12)
    with pytest.raises(UserError, match="outside its photograph"):
        around((300, 0, 10, 10), 100, 100)
    with pytest.raises(UserError, match="outside its photograph"):
        around((5, 5, 0, 0), 100, 100)


@pytest.mark.parametrize(
    "other",
    [
        {"bounding_boxes": b"1 0 0 ten ten\n2 1 1 1 1\n3 1 1 1 1\n"},
        {"bounding_boxes": b"1 0 0 10\n2 1 1 1 1\n3 1 1 1 1\n"},
        {"bounding_boxes": b"2 0 0 10 10\n"},
        {"images": b"\xff\xfe"},
        {"images": b"1 two words\n"},
        {"train_test_split": b""},
    ],
)
def test_damaged_lists_are_told_of(tmp_path: Path, other: dict[str, bytes]) -> None:
    write_2011(tmp_path, **other)
    birds = Birds(tmp_path)
    with pytest.raises(UserError, match=r"CUB_200_2011.tgz: does not hold what CUB-200 does"):
        birds.load(birds.names[:1])


@pytest.mark.parametrize("content", [b"", b"no matlab", encoded(lambda file: savemat(file, {"bbox": 3}))])
def test_damaged_annotations_are_told_of(tmp_path: Path, content: bytes) -> None:
    write_2010(tmp_path)
    birds = Birds(tmp_path, release="2010")
    files = {f"annotations-mat/{file.removesuffix('.jpg')}.mat": content for file in BIRDS}
    write(tmp_path / SOURCES["release"]["2010"][2], files)
    with pytest.raises(UserError, match=r"cub2010_annotations.tgz: does not hold what CUB-200 does"):
        birds.load(birds.names)


def test_an_unknown_bird_is_told_of(tmp_path: Path) -> None:
    write_2011(tmp_path)
    with pytest.raises(UserError, match="Birds has no image 'Dodo' with these settings; .* 'Black_Footed_Albatross_00"):
        Birds(tmp_path).load(["Dodo"])


def test_the_published_birds_are_read_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    for source in GLOWIP:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).symlink_to(shared_data / "birds_glowip64" / Path(source).name)
    birds = BirdsGlowIP64(tmp_path)
    images = birds.load(birds.names)
    assert images.shape == (12, 3, 64, 64) and birds.names[0] == "0040"
    frigatebird = np.asarray(Image.open(shared_data / "birds_glowip64/1206.jpg")).transpose(2, 0, 1)
    assert np.array_equal(images[birds.names.index("1206")] * 255, frigatebird)
    with pytest.raises(UserError, match="BirdsGlowIP64 has no image '0041'"):
        birds.load(["0041"])


def test_a_missing_published_bird_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0040.jpg: there is no such file"):
        BirdsGlowIP64(tmp_path).load(["0040"])


def test_real_photographs_of_2010_are_read(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "birds_cub2010").rglob("*.jpg"))[::8]
    names = ["/".join(file.parts[-2:]) for file in files]
    images, lists, annotations = (tmp_path / source for source in SOURCES["release"]["2010"])
    write(images, {f"images/{name}": file.read_bytes() for name, file in zip(names, files, strict=True)})
    write(lists, {"lists/test.txt": "\n".join(names).encode()})
    box = encoded(lambda content: savemat(content, {"bbox": {"left": 20, "right": 120, "top": 20, "bottom": 120}}))
    write(annotations, {f"annotations-mat/{name.removesuffix('.jpg')}.mat": box for name in names})
    birds = Birds(tmp_path, release="2010", size=128)
    found = birds.load(birds.names)
    assert found.shape == (len(files), 3, 128, 128) and found.std() > 0.1
