"""MNIST's idx files: made-up, damaged and real ones."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest

from reprior.datasets.mnist import MNIST, SOURCES
from reprior.errors import UserError

DIGITS = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


def idx(digits: np.ndarray = DIGITS, magic: int = 0x0803, count: int | None = None, side: int = 28) -> bytes:
    return struct.pack(">4I", magic, len(digits) if count is None else count, side, side) + digits.tobytes()


def placed(raw: Path, content: bytes, partition: str = "test") -> Path:
    path = raw / SOURCES["partition"][partition][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return raw


@pytest.mark.parametrize("channels", [1, 3])
def test_digits_are_read_in_order(tmp_path: Path, channels: int) -> None:
    digits = MNIST(placed(tmp_path, gzip.compress(idx())), channels=channels)  # type: ignore[arg-type]
    assert list(digits.names) == ["00000", "00001", "00002", "00003", "00004"]
    images = digits.load(["00003", "00000"])
    assert images.dtype == np.float32 and images.shape == (2, *digits.image_shape) == (2, channels, 28, 28)
    for channel in range(channels):
        assert np.array_equal(images[:, channel] * 255, DIGITS[[3, 0]])


@pytest.mark.parametrize("name", ["00005", "3", "-0001", "x"])
def test_an_unknown_digit_is_told_of(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"MNIST has no image '{name}'"):
        MNIST(placed(tmp_path, gzip.compress(idx()))).load([name])


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(idx(magic=0x0801)),  # labels
        gzip.compress(idx(side=32)),
        gzip.compress(idx(count=6)),
        gzip.compress(idx(count=4)),
        gzip.compress(idx(count=0)),
        gzip.compress(idx(count=2**32 - 1)),
        gzip.compress(idx()[:10]),
        gzip.compress(b""),
        gzip.compress(idx())[:-300],
        gzip.compress(idx())[:-8] + bytes(8),
        idx(),
        b"<html>Quota exceeded</html>",
        b"",
    ],
    ids=itertools.count(),  # a gzip file holds the time when it was made
)
def test_what_is_no_file_of_digits_is_told(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte.gz: .*fetch it again"):
        MNIST(placed(tmp_path, content)).ids(0, 1)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    content = gzip.compress(idx() + bytes(50_000_000))
    with pytest.raises(UserError, match="does not hold the 5 digits that its header states"):
        MNIST(placed(tmp_path, content)).ids(0, 1)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for partition in ("train", "validation"):
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: there is no such file"):
            MNIST(tmp_path, partition=partition).ids(0, 1)


def test_the_last_digits_for_training_are_for_validation(tmp_path: Path) -> None:
    digits = np.zeros((60_000, 28, 28), np.uint8)
    digits[:, 0, 0], digits[:, 0, 1] = np.divmod(np.arange(60_000), 256)
    raw = placed(tmp_path, gzip.compress(idx(digits), compresslevel=1), "train")
    train, validation = MNIST(raw, partition="train"), MNIST(raw, partition="validation")
    assert (train.size, train.names[0], train.names[-1]) == (50_000, "00000", "49999")
    assert (validation.size, validation.names[0], validation.names[-1]) == (10_000, "50000", "59999")
    for source, first in ((train, 0), (train, 49_990), (validation, 0), (validation, 9_990)):
        ids = source.ids(first, 10)
        high, low = np.rint(source.load(ids)[:, 0, 0, :2].T * 255)
        assert (256 * high + low).tolist() == [float(name) for name in ids]
    for source, name in ((train, "50000"), (validation, "49999")):
        with pytest.raises(UserError, match=f"MNIST has no image '{name}'"):
            source.load([name])


def test_a_file_without_digits_for_validation_is_told(tmp_path: Path) -> None:
    raw = placed(tmp_path, gzip.compress(idx()), "train")
    with pytest.raises(UserError, match=r"train-images-.*has only 5 digits.*'validation' starts after 50,000"):
        MNIST(raw, partition="validation").load(["50000"])


def test_training_compares_its_candidates_on_the_validation_digits(tmp_path: Path) -> None:
    from reprior.training.data import _validation

    spec = {"name": "mnist", "partition": "train", "channels": 1}
    assert _validation(spec) == {**spec, "partition": "validation"}


def test_the_real_digits(shared_data: Path, tmp_path: Path) -> None:
    train = shared_data / "mnist/train-images-idx3-ubyte.REBUILT.gz"
    placed(tmp_path, train.read_bytes(), "train")
    placed(tmp_path, (shared_data / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    digits = MNIST(tmp_path, partition="train", channels=1)
    assert hashlib.md5(idx(digits.digits)).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    sizes = [MNIST(tmp_path, partition=name).size for name in ("train", "validation", "test")]
    assert sizes == [50_000, 10_000, 10_000]
    labels = np.frombuffer(
        gzip.decompress((shared_data / "mnist/train-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8
    )
    images = digits.load(digits.ids(0, 2000))
    assert list(labels[:4]) == [5, 0, 4, 1]
    middle = images[:, 0, 12:16, 12:16].mean(axis=(1, 2))
    assert middle[labels[:2000] == 0].mean() < 0.15 < 0.6 < middle[labels[:2000] == 1].mean()  # a zero is hollow
