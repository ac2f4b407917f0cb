"""The pickled modules of StyleGAN2-ADA are read as data."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reprior.acquire.checkpoints import read_checkpoint
from reprior.errors import UserError
from tests.acquire.ada_pickles import Module, pickled

STATE: dict[str, Any] = {
    "mapping.w_avg": torch.arange(3.0),
    "mapping.fc0.weight": nn.Parameter(torch.arange(6.0).view(2, 3)),
    "mapping.fc0.bias": None,
    "synthesis.b4.conv1.affine.bias": nn.Parameter(torch.ones(2, dtype=torch.float64)),
    "synthesis.b4.conv1.weight": nn.Parameter(torch.randn(2, 3, 3, 3).to(memory_format=torch.channels_last)),
    "synthesis.b4.noise_strength": nn.Parameter(torch.tensor(0.5)),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.pkl"


def test_each_network_gives_its_state_dict(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {"G": Module({"x": torch.zeros(1)}), "G_ema": Module(STATE), "augment_pipe": None}
    file.write_bytes(pickled({"training_set_kwargs": None, **networks}))
    monkeypatch.chdir(file.parent)
    read = read_checkpoint(file)
    assert list(read) == ["G", "G_ema"]
    assert read["G_ema"].keys() == {name for name, value in STATE.items() if value is not None}
    for name, value in read["G_ema"].items():
        assert torch.equal(value, STATE[name]) and value.dtype == STATE[name].dtype
        assert value.is_contiguous() and not isinstance(value, nn.Parameter)
    assert not Path("canary").exists()


def test_tensors_may_share_numbers(file: Path) -> None:
    whole = torch.arange(6.0)
    file.write_bytes(pickled({"G_ema": Module({"a": whole[2:4], "b": whole.view(2, 3).T})}))
    read = read_checkpoint(file)["G_ema"]
    assert torch.equal(read["a"], whole[2:4]) and torch.equal(read["b"], whole.view(2, 3).T)


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


class _Code:
    """Unpickles by running a command, in a file of PyTorch."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


def _hostile(canary: Path) -> dict[str, Any]:
    """Contents of a file, by what the message says of them."""
    numbers = torch.arange(6.0)
    _, (storage, *_rest) = numbers.__reduce_ex__(2)
    rebuild = torch._utils._rebuild_tensor_v2  # type: ignore[attr-defined]
    load = torch.storage._load_from_bytes  # type: ignore[attr-defined]

    def file(content: Any, zipped: bool = False) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        return buffer.getvalue()

    def tensor(*arguments: Any) -> Module:
        return Module({"w": _Calls(rebuild, *arguments, False, {})})

    return {
        "'posix.system', which is code": Module({"w": _Calls(os.system, f"touch {canary}")}),
        "asks for 'posix.system'": tensor(_Calls(load, file(_Code(f"touch {canary}"))), 0, (1,), (1,)),
        "format other than": tensor(_Calls(load, file(numbers, zipped=True)), 0, (6,), (1,)),
        "bytes do not fit": tensor(storage, 0, (10**12,), (0,)),
        "out of bounds": tensor(storage, 4, (3,), (1,)),
        "a str where a tensor": Module({"w": "text"}),
        "it is damaged": tensor("no storage", 0, (1,), (1,)),
        "a _Module where a tensor": Module({"w": Module({})}),
    }


HOSTILE = list(_hostile(Path("canary")))


@pytest.mark.parametrize("said", HOSTILE)
def test_a_hostile_file_gives_one_message(said: str, file: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    file.write_bytes(pickled({"G_ema": _hostile(canary)[said]}))
    with pytest.raises(UserError) as error:
        read_checkpoint(file)
    assert said in str(error.value)
    assert "Nothing in it was run" in str(error.value) and "\n" not in str(error.value)
    assert not canary.exists()


def test_the_attack_would_have_worked(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(_Code(f"touch {canary}")))
    assert canary.exists()
