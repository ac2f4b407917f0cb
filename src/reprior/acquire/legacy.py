"""Reads TensorFlow and PyTorch networks that were published as pickles, as data.

A pickle names classes and functions ("numpy.ndarray", "tfutil.Network") and calls them. These files need only a few
names. Here, each of these names makes a record that stores its arguments and does nothing. Every other name is refused.
So neither NumPy nor code of the file runs while the file is read. The files also contain source code of networks, which
stays plain text. Arrays are made afterwards, from records whose type, shape and bytes fit together.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class RefusedError(Exception):
    """The file contains something that is not allowed. The message says what."""


def read_networks(path: Path) -> dict[str, Any]:
    """The tensors of the networks in a file.

    The files of PGGAN and StyleGAN2 hold three networks: generator, discriminator, and the generator's moving average.

    - In TensorFlow's, a name is `<position>/<variable>`, such as `2/4x4/Conv/weight`. A part of a network (StyleGAN2's
      `synthesis` or `mapping`) comes before the variable: `2/synthesis/4x4/Conv/weight`.
    - PyTorch's (StyleGAN2-ADA) give a state dict for each network: `G`, `D` and `G_ema`.
    """
    import torch

    with path.open("rb") as file:
        content = _Reader(file).load()
    if isinstance(content, dict):
        modules = {key: value for key, value in content.items() if isinstance(value, _Module)}
        return {key: {name: _tensor(value) for name, value in _held(module)} for key, module in modules.items()}
    networks = content if isinstance(content, tuple | list) else (content,)
    found = {f"{n}/{name}": value for n, network in enumerate(networks) for name, value in _variables(network)}
    return {name: torch.from_numpy(_array(value)) for name, value in found.items()}


class _Record:
    """Stores the arguments and the state of an object of the pickle."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Network(_Record):
    """State: a mapping with `variables` (pairs of name and value) and `components` (networks by name)."""


class _Array(_Record):
    """State: version, shape, type, whether the order is Fortran, bytes."""


class _Scalar(_Record):
    """Arguments: type, bytes."""


class _Type(_Record):
    """First argument: a code such as f4. State: version, byte order, then fields of structured types only."""


class _Module(_Record):
    """First argument: a mapping with the source code of a PyTorch module, and its attributes as `state`."""


class _Parameter(_Record):
    """First argument: a tensor."""


class _Tensor(_Record):
    """Arguments: storage, place of the first number in it, shape, strides, and what training needs."""


class _Storage(_Record):
    """First argument: the bytes of a PyTorch file that holds one list of numbers."""


_KNOWN = {
    ("tfutil", "Network"): _Network,
    ("dnnlib.tflib.network", "Network"): _Network,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Module,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
    ("dnnlib.util", "EasyDict"): dict,
    ("collections", "OrderedDict"): dict,
    ("builtins", "set"): set,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy", "ndarray"): _Record,
    ("numpy", "dtype"): _Type,
}


# Not the C unpickler: a file can make it reserve any amount of memory by naming a high place in its memo. BYTEARRAY8
# does the same in both unpicklers, so it is left out.
class _Reader(pickle._Unpickler):
    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise RefusedError(f"it asks for '{module}.{name}', which is code and not data")
        return known


def _variables(network: Any, parts: bool = True) -> Iterator[tuple[str, Any]]:
    if not isinstance(network, _Network) or not isinstance(network.state, dict):
        raise RefusedError("it holds something other than networks")
    yield from network.state["variables"]
    if parts:
        for part, inner in network.state.get("components", {}).items():
            yield from ((f"{part}/{name}", value) for name, value in _variables(inner, parts=False))


def _array(value: Any) -> np.ndarray:
    import numpy as np

    if isinstance(value, _Scalar):
        shape, (kind, data), columns_first = (), value.arguments, False
    elif isinstance(value, _Array):
        _, shape, kind, columns_first, data = value.state
    else:
        raise RefusedError(f"it holds a {type(value).__name__} where an array should be")
    dtype = np.dtype(_type_name(kind))
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise RefusedError(f"it declares an array of shape {shape}, but its bytes do not fit")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if columns_first else "C")
    return array.astype(dtype.newbyteorder("="))  # a copy: the bytes are read-only


def _type_name(kind: Any) -> str:
    """NumPy name of a number type: byte order, kind, size, such as <f4."""
    name = f"{kind.state[1]}{kind.arguments[0]}" if isinstance(kind, _Type) else ""
    if not re.fullmatch("[<>|=][fiu][1248]", name):
        raise RefusedError(f"it holds values of type '{name}', which are not numbers")
    return name


def _held(module: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters and buffers under the names of a state dict, such as `mapping.fc0.weight`."""
    if not isinstance(module, _Module):
        raise RefusedError(f"it holds a {type(module).__name__} where a part of a network should be")
    state = module.arguments[0]["state"]
    for name, value in {**state["_parameters"], **state["_buffers"]}.items():
        if value is not None:
            yield f"{above}{name}", value
    for name, inner in state["_modules"].items():
        yield from _held(inner, f"{above}{name}.")


def _tensor(value: Any) -> Tensor:
    import torch

    if isinstance(value, _Parameter):
        value = value.arguments[0]
    if not isinstance(value, _Tensor):
        raise RefusedError(f"it holds a {type(value).__name__} where a tensor should be")
    storage, start, shape, strides, *_ = value.arguments
    data = storage.arguments[0]
    if not data.startswith(b"\x80"):  # it may be a zip file, which may be huge when unpacked
        raise RefusedError("it holds numbers in a format other than that of PyTorch's pickles")
    numbers = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    flat = torch.empty(0, dtype=numbers.dtype).set_(numbers)
    if math.prod(shape) > len(flat):
        raise RefusedError(f"it declares a tensor of shape {shape}, but its bytes do not fit")
    return flat.as_strided(shape, strides, start).contiguous()
