"""Each format of published files is read as data. A hostile file gives one message and nothing else."""

from __future__ import annotations

import copyreg
import itertools
import operator
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reprior.acquire.checkpoints import read_checkpoint
from reprior.errors import UserError

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(2)}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "2017"])
def test_a_pytorch_file_gives_what_was_saved(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": TENSORS, "epoch": 3}, file, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(file)
    assert read["epoch"] == 3
    assert read["state_dict"].keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(read["state_dict"][name], tensor)


def test_a_safetensors_file_gives_its_tensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights")
    read = read_checkpoint(tmp_path / "weights")
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())


class Network:
    """The publishers' class, as far as a pickle shows it. Its state holds the source code of the network."""

    def __init__(self, variables: dict[str, Any], **components: Network) -> None:
        self.variables, self.components = variables, components

    def __getstate__(self) -> dict[str, Any]:
        source = "import pathlib; pathlib.Path('canary').touch()"
        state = {"version": 4, "name": "G", "static_kwargs": {"resolution": np.int64(8)}, "build_module_src": source}
        return state | {"components": self.components, "variables": list(self.variables.items())}


def _pickled(content: Any, module: str, monkeypatch: pytest.MonkeyPatch, protocol: int = 4) -> bytes:
    """Pickle `content` with its networks as `module`.Network, a class that exists only during the pickling."""
    with monkeypatch.context() as patch:
        patch.setattr(Network, "__module__", module)
        for part in accumulate(module.split("."), lambda above, name: f"{above}.{name}"):
            patch.setitem(sys.modules, part, types.SimpleNamespace(Network=Network))
        return pickle.dumps(content, protocol)


def test_tensorflow_networks_give_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    odd = {"big": kernel.astype(">f4"), "columns": np.asfortranarray(kernel), "lod": np.float32(0.5)}
    networks = (Network({}), Network({"x": np.zeros(2)}), Network({"4x4/Conv/weight": kernel, **odd}))
    file = tmp_path / "official.pkl"
    file.write_bytes(_pickled(networks, "tfutil", monkeypatch))
    monkeypatch.chdir(tmp_path)
    read = read_checkpoint(file)
    assert list(read) == ["1/x", "2/4x4/Conv/weight", "2/big", "2/columns", "2/lod"]
    for name in ("4x4/Conv/weight", "big", "columns"):
        assert torch.equal(read[f"2/{name}"], torch.from_numpy(kernel))
    assert read["2/lod"].shape == ()
    assert read["2/lod"] == 0.5
    assert not Path("canary").exists()


def test_parts_of_a_network_come_before_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Network({"dlatent_avg": np.ones(2)}, synthesis=Network({"noise0": np.zeros((1, 1))}))
    file = tmp_path / "stylegan2.pkl"
    file.write_bytes(_pickled(parts, "dnnlib.tflib.network", monkeypatch))
    assert list(read_checkpoint(file)) == ["0/dlatent_avg", "0/synthesis/noise0"]


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.call


def _attacks(canary: Path) -> dict[str, Any]:
    touch = f"touch {canary}"
    python = f"open({str(canary)!r}, 'w')"
    return {
        "os.system": _Calls(os.system, touch),
        "eval": _Calls(eval, python),
        "exec": _Calls(exec, python),
        "attrgetter": _Calls(operator.attrgetter, "__globals__"),
        "getattr": _Calls(getattr, Network, "__init__"),
        "reconstructor": _Calls(copyreg._reconstructor, Path, object, None),  # type: ignore[attr-defined]
        "tofile": _Calls(np.ndarray.tofile, np.zeros(3), str(canary)),
        "import": _Calls(__import__, "antigravity"),
    }


ATTACKS = ["os.system", "eval", "exec", "attrgetter", "getattr", "reconstructor", "tofile", "import"]
WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "pickle": lambda content, file: file.write_bytes(pickle.dumps(content, 4)) and None,
    "pickle 5": lambda content, file: file.write_bytes(pickle.dumps(content, 5)) and None,
    "torch": torch.save,
    "torch 2017": lambda content, file: torch.save(content, file, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_code_of_a_file_is_run(attack: str, writer: str, tmp_path: Path) -> None:
    canary, file = tmp_path / "canary", tmp_path / "weights.pth"
    WRITERS[writer]({"weight": torch.zeros(2) if "torch" in writer else 0, "x": _attacks(canary)[attack]}, file)
    _is_refused(file)
    assert not canary.exists()
    pickle.loads(pickle.dumps(_attacks(canary)["os.system"]))
    assert canary.exists(), "the attack would have worked"


def _global(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls `module.name(argument)`, whether or not it exists."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93" + b"\x8c" + bytes([len(argument)]) + argument.encode() + b"\x85R."


@pytest.mark.parametrize(
    "module, name",
    [
        ("numpy", "loads"),
        ("numpy", "load"),
        ("numpy", "ndarray.tofile"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
        ("collections", "OrderedDict.__init__"),
        ("tfutil", "run"),
        ("dnnlib.util", "call_func_by_name"),
        ("torch", "load"),
        ("torch_utils.persistence", "_src_to_module"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch.storage", "UntypedStorage"),
        ("builtins", "getattr"),
        ("builtins", "open"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("reprior.acquire.legacy", "_Reader"),
    ],
)
def test_names_beside_the_few_that_are_needed_are_refused(module: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "network.pkl"
    file.write_bytes(_global(module, name, str(tmp_path / "canary")))
    assert f"{module}.{name}" in _is_refused(file)
    assert not (tmp_path / "canary").exists()


def _network(value: Any, monkeypatch: pytest.MonkeyPatch) -> bytes:
    return _pickled(Network({"w": value}), "tfutil", monkeypatch)


class _Declared:
    """Pickles as an array of this shape and type with these bytes."""

    def __init__(self, shape: Any, code: str, data: Any) -> None:
        self.shape, self.code, self.data = shape, code, data

    def __reduce__(self) -> tuple:
        empty = np.zeros(0, np.int8).__reduce__()
        return empty[0], (np.ndarray, (0,), b"b"), (1, self.shape, np.dtype(self.code), False, self.data)  # type: ignore[index]


@pytest.mark.parametrize(
    "value",
    [
        np.array([print, None], dtype=object),
        np.array(["text"]),
        np.zeros(2, np.dtype([("a", "f4"), ("b", "i4")])),
        np.datetime64("2020-01-01"),
        _Declared((10**15,), "f4", b""),
        _Declared((2, 2), "f4", b"12345"),
        _Declared((-1, -4), "f4", bytes(16)),
        _Declared("shape", "f4", bytes(16)),
        _Declared((2,), "f4", [1, 2]),
        _Declared((10**9, 10**9), "O", []),
        3.5,
        None,
    ],
    ids=itertools.count(),  # not their addresses, which differ between test processes
)
def test_only_arrays_of_numbers_that_are_there_are_read(
    value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "network.pkl"
    file.write_bytes(_network(value, monkeypatch))
    _is_refused(file)


def _torch_bytes(tmp_path: Path, content: Any, zipped: bool = True) -> bytes:
    file = tmp_path / "whole.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.read_bytes()


@pytest.mark.parametrize("kept", [1, 20, 100, 600, -1])
@pytest.mark.parametrize("kind", ["zip", "2017", "network", "safetensors"])
def test_a_truncated_file_is_refused(kind: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "network":
        whole = _network(np.zeros(1000, np.float32), monkeypatch)
    elif kind == "safetensors":
        save_file({"w": torch.zeros(1000)}, tmp_path / "whole")
        whole = (tmp_path / "whole").read_bytes()
    else:
        whole = _torch_bytes(tmp_path, {"w": torch.zeros(1000)}, kind == "zip")
    file = tmp_path / "part.pth"
    file.write_bytes(whole[:kept])
    _is_refused(file)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>Quota exceeded</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "no known format"),
        (b"\x80\x04]\x94.", "no named tensors"),
        (b"\x80\x04N.", "something other"),
        (
            b"\x80\x04Nr" + (2**31).to_bytes(4, "little") + b".",
            "something other",
        ),  # a place in the memo that needs 17 GB
        (b"\x80\x05\x96" + (2**35).to_bytes(8, "little"), ""),  # a bytearray of 34 GB
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.", ""),
        (b"\x80\x04" + b"(" * 100_000 + b"t" * 100_000 + b".", ""),
    ],
)
def test_what_is_no_checkpoint_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    assert said in _is_refused(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    _is_refused(tmp_path / "none.pth")


def test_a_pytorch_file_without_names_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    assert "no named tensors" in _is_refused(tmp_path / "list.pth")


def test_a_whole_module_is_code(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    assert "torch.nn.modules.linear.Linear" in _is_refused(tmp_path / "module.pth")


def _rezipped(source: bytes, tmp_path: Path, change: Callable[[bytes], bytes], compression: int) -> Path:
    (tmp_path / "source.pth").write_bytes(source)
    file = tmp_path / "changed.pth"
    with zipfile.ZipFile(tmp_path / "source.pth") as old, zipfile.ZipFile(file, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name.endswith("data.pkl") else old.read(name))
    return file


def test_a_tensor_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    count, huge = ((number).to_bytes(4, "little") for number in (123_456, 2**31 - 1))
    source = _torch_bytes(tmp_path, {"w": torch.zeros(123_456)})
    file = _rezipped(source, tmp_path, lambda data: data.replace(b"J" + count, b"J" + huge), zipfile.ZIP_STORED)
    _is_refused(file)


def test_a_decompression_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    source = _torch_bytes(tmp_path, {"w": torch.zeros(1_000_000)})
    file = _rezipped(source, tmp_path, lambda data: data, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < len(source) / 100
    assert "compressed" in _is_refused(file)


def _is_refused(file: Path) -> str:
    """One message names the file, says what to do and does not repeat PyTorch's advice to run its code."""
    with pytest.raises(UserError) as error:
        read_checkpoint(file)
    text = str(error.value)
    assert text.startswith(f"{file}: cannot be read")
    assert "Remove it and fetch it again" in text
    assert "weights_only" not in text
    assert "\n" not in text
    return text
