"""A result is complete under its final name, or it does not exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reprior.errors import UserError
from reprior.machine.files import (
    load_arrays,
    load_tensors,
    read_json,
    save_arrays,
    save_tensors,
    write_json,
    written_atomically,
)


def test_tensors_and_meta_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.safetensors"
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor([True, False])}
    save_tensors(path, tensors, {"ids": ["1", "2"], "noise": 0.5})
    loaded, meta = load_tensors(path)
    assert meta == {"ids": ["1", "2"], "noise": 0.5}
    assert all(loaded[name].equal(tensor) for name, tensor in tensors.items())


def test_arrays_are_read_as_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_arrays(path, {"images": np.eye(3, dtype=np.float32)[::-1]})
    assert np.array_equal(load_arrays(path)[0]["images"], load_tensors(path)[0]["images"].numpy())


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    for name, meta in (("a", {"x": 1, "y": 2}), ("b", {"y": 2, "x": 1})):
        save_tensors(tmp_path / name, {"t": torch.ones(2)}, meta)
        write_json(tmp_path / f"{name}.json", meta)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"x": 1, "y": 2}


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_atomically(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>", b"\xff" * 100])
def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights.safetensors: cannot be read"):
        load_tensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing.safetensors"):
        load_arrays(tmp_path / "nothing.safetensors")
