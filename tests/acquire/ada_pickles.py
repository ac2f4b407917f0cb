"""Pickles PyTorch modules as the authors of StyleGAN2-ADA do: with the source code of each module's class."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import nn

SOURCE = "import pathlib; pathlib.Path('canary').touch()"


class EasyDict(dict):
    """The authors' dictionary, as far as a pickle shows it."""


def _reconstruct_persistent_obj(meta: Any) -> None:
    """The authors' function. Only its name is in a pickle."""


class Module:
    """A module, as far as a pickle shows it. It pickles as a call of the authors' function."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """`state` is a state dict. A name with dots is that of a tensor in a module inside."""
        self.own = {name: value for name, value in state.items() if "." not in name}
        inner: dict[str, dict[str, Any]] = {}
        for name in state.keys() - self.own.keys():
            module, _, rest = name.partition(".")
            inner.setdefault(module, {})[rest] = state[name]
        self.modules = OrderedDict((name, Module(state)) for name, state in inner.items())

    def __reduce__(self) -> tuple:
        buffers = {name: value for name, value in self.own.items() if not isinstance(value, nn.Parameter | None)}
        state = {
            "training": False,
            "_parameters": OrderedDict((name, self.own[name]) for name in self.own.keys() - buffers.keys()),
            "_buffers": OrderedDict(buffers),
            "_non_persistent_buffers_set": set(),
            "_forward_hooks": OrderedDict(),
            "_modules": self.modules,
            "weight_gain": np.float64(0.5),
            "_init_kwargs": EasyDict(img_resolution=32),
        }
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": "Layer", "state": state}
        return _reconstruct_persistent_obj, (meta,), None


def pickled(content: Any) -> bytes:
    """`content` with the authors' names, which exist only in here. Protocol 3 is that of Python 3.7."""
    modules = {name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")}
    for value, module in ((EasyDict, "dnnlib.util"), (_reconstruct_persistent_obj, "torch_utils.persistence")):
        value.__module__ = module
        setattr(modules[module], value.__name__, value)
    with patch.dict(sys.modules, modules):
        return pickle.dumps(content, 3)
