"""The three data sets of aligned CelebA photographs, on archives like the published ones and on real ones."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.datasets.aligned import CROPS, PARTITIONS, AlignedFaces, partition_list
from reprior.datasets.celeba import SOURCES as CELEBA
from reprior.datasets.celeba import CelebA
from reprior.datasets.celeba_csgm64 import SOURCES as CSGM64
from reprior.datasets.celeba_csgm64 import CelebACSGM64
from reprior.datasets.celeba_subset import SOURCES as SUBSET
from reprior.datasets.celeba_subset import CelebASubset
from reprior.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (218, 178, 3), dtype=np.uint8)


def picture() -> bytes:
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, "PNG")  # exact; the reader looks at the content, not at the suffix
    return content.getvalue()


def write_zip(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, picture())


def write_subset(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(picture())
            archive.addfile(member, io.BytesIO(picture()))


def test_the_partition_is_the_published_one() -> None:
    content = partition_list().encode()
    assert len(content) == 2_836_386
    assert hashlib.md5(content).hexdigest() == "d32c9cbf5e040fd4025c592c306e6668"
    assert hashlib.sha256(content).hexdigest() == "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7"


@pytest.mark.parametrize(("partition", "size"), [("train", 162_770), ("validation", 19_867), ("test", 19_962)])
def test_partitions_have_their_sizes(tmp_path: Path, partition: str, size: int) -> None:
    faces = CelebA(tmp_path, partition=partition)  # type: ignore[arg-type]
    assert faces.size == size
    assert faces.ids(size - 1, 1) == [f"{PARTITIONS[partition][1]:06d}"]
    with pytest.raises(UserError, match=f"CelebA has images 0 to {size - 1}, but 1 from {size} were asked for"):
        faces.ids(size, 1)


@pytest.mark.parametrize("crop", CROPS)
def test_the_stated_square_is_cut(tmp_path: Path, crop: str) -> None:
    write_zip(tmp_path / CELEBA[0], "img_align_celeba/182638.jpg")
    left, top, side = CROPS[crop]
    faces = CelebA(tmp_path, crop=crop, size=128, resize="nearest")  # type: ignore[arg-type]
    image = faces.load(faces.ids(0, 1))[0]
    rows, columns = ((start + np.floor((np.arange(128) + 0.5) * side / 128)).astype(int) for start in (top, left))
    assert np.array_equal(image, PIXELS[np.ix_(rows, columns)].transpose(2, 0, 1).astype(np.float32) / 255)


def test_the_box_of_began_is_the_published_one() -> None:
    left, top, side = CROPS["began-box"]
    assert (left, top, left + side, top + side) == (32, 68, 148, 184)


@pytest.mark.parametrize("resize", ["bilinear", "lanczos", "bicubic", "nearest"])
def test_resizing_is_the_one_asked_for_and_is_recorded(tmp_path: Path, resize: str) -> None:
    write_zip(tmp_path / CSGM64[0], "celebAtest/182638.jpg")
    faces = CelebACSGM64(tmp_path, resize=resize)  # type: ignore[arg-type]
    expected = Image.fromarray(PIXELS[55:163, 35:143]).resize((64, 64), Image.Resampling[resize.upper()])
    assert np.array_equal(faces.load(["182638"])[0] * 255, np.asarray(expected).transpose(2, 0, 1))
    assert faces.steps == ("crop left 35 top 55 side 108", f"resize 64x64 {resize}", "divide by 255")
    assert CelebA(tmp_path).steps == ("crop left 26 top 51 side 128", "divide by 255")


def test_the_three_read_the_same_photograph_alike(tmp_path: Path) -> None:
    write_zip(tmp_path / CELEBA[0], "img_align_celeba/182640.jpg")
    write_zip(tmp_path / CSGM64[0], "celebAtest/182640.jpg")
    write_subset(tmp_path / SUBSET[0], "img_align_celeba/182640.jpg")
    sets: list[AlignedFaces] = [
        kind(tmp_path, crop="tkarras", size=64, resize="lanczos") for kind in (CelebA, CelebACSGM64, CelebASubset)
    ]
    first, *others = [faces.load(["182640"]) for faces in sets]
    assert all(np.array_equal(first, other) for other in others)
    assert sets[0].steps == sets[1].steps == sets[2].steps


def test_the_subset_has_what_its_archive_holds_of_a_partition_in_the_official_order(tmp_path: Path) -> None:
    folder = "img_align_celeba"
    odd = ["notes.txt", f"{folder}/1.jpg", f"{folder}/../190000.png.jpg", f"{folder}/９９９９９９.jpg"]
    numbers = ["182639", "000002", "202599", "162771", "000001", "182638"]
    write_subset(tmp_path / SUBSET[0], *odd, *(f"{folder}/{number}.jpg" for number in numbers))
    assert CelebASubset(tmp_path).ids(0, 3) == ["182638", "182639", "202599"]
    assert CelebASubset(tmp_path, partition="train").names == ["000001", "000002"]
    assert CelebASubset(tmp_path, partition="validation").size == 1


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / CELEBA[0], "img_align_celeba/000001.jpg")
    with pytest.raises(UserError, match=r"img_align_celeba.zip: has no file 'img_align_celeba/000002.jpg'"):
        CelebA(tmp_path).load(["000002"])
    with pytest.raises(UserError, match=r"csgm_celebAtest.zip: there is no such file"):
        CelebACSGM64(tmp_path).load(["182638"])


def test_a_damaged_photograph_is_named(tmp_path: Path) -> None:
    (tmp_path / CELEBA[0]).parent.mkdir()
    with zipfile.ZipFile(tmp_path / CELEBA[0], "w") as archive:
        archive.writestr("img_align_celeba/000001.jpg", picture()[:1000])
    with pytest.raises(
        UserError, match=r"img_align_celeba.zip: img_align_celeba/000001.jpg: cannot be read as an image"
    ):
        CelebA(tmp_path).load(["000001"])


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of downloads with the two small archives under their sources' names."""
    raw = tmp_path_factory.mktemp("raw")
    for source in (*CSGM64, *SUBSET):
        (raw / source).parent.mkdir(exist_ok=True)
        (raw / source).symlink_to(shared_data / source)
    return raw


def test_the_real_64_are_those_of_npgd(real: Path, shared_data: Path) -> None:
    faces = CelebACSGM64(real)
    ours = faces.load(faces.ids(0, 64))
    with zipfile.ZipFile(shared_data / "celeba/npgd_celebAtest.zip") as archive:
        theirs = [np.asarray(Image.open(archive.open(f"data/{name}.jpg")).convert("RGB")) for name in faces.names]
    errors = np.square(ours - np.stack(theirs).transpose(0, 3, 1, 2) / 255).mean(axis=(1, 2, 3))
    psnr = -10 * np.log10(errors)
    assert psnr.min() > 31 and psnr.mean() > 34  # NPGD's are JPEG files


def test_a_real_photograph_is_cut_as_pillow_alone_cuts_it(real: Path, shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "celeba/csgm_celebAtest.zip") as archive:
        whole = Image.open(archive.open("celebAtest/182659.jpg"))
        assert whole.size == (178, 218)
        part = whole.crop((32, 68, 148, 184)).resize((64, 64), Image.Resampling.LANCZOS)
    ours = CelebACSGM64(real, crop="began-box", resize="lanczos").load(["182659"])[0]
    assert np.array_equal((ours * 255).astype(np.uint8), np.asarray(part).transpose(2, 0, 1))


def test_the_real_subset_has_the_stated_partitions(real: Path) -> None:
    partitions = {"train": 18_000, "validation": 500, "test": 1_000}
    for partition, size in partitions.items():
        faces = CelebASubset(real, partition=partition, crop="began-box", size=64)  # type: ignore[arg-type]
        assert faces.size == size
        images = faces.load(faces.chosen(0, 0, 20))
        assert images.shape == (20, 3, 64, 64) and images.std() > 0.15
        # Skin: in the middle of a face, red is the brightest channel of nearly all.
        middle = images[:, :, 24:40, 24:40].mean(axis=(2, 3))
        assert (middle.argmax(axis=1) == 0).mean() >= 0.9
