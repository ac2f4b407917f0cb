"""Reads published checkpoints as data. Code that a file contains or names is never run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reprior.acquire.legacy import RefusedError, read_networks
from reprior.errors import UserError

_ENOUGH = 64
"""Number of first bytes that tell the kind of a file."""
_LEGACY_TORCH = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""PyTorch files started with this number until 2020, here as it is pickled."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint under its publisher's names: tensors, or dictionaries of tensors.

    Reads both PyTorch formats, safetensors, and pickled networks of the PGGAN and StyleGAN2 authors (see
    `legacy.read_networks`). UserError for any other file, and for a file that wants code to be run.
    """
    try:
        content = _reader(path)(path)
    except UserError:
        raise
    except Exception as error:  # a broken or hostile file may make a reader raise anything
        raise _unreadable(path, _reason(error)) from error
    if not isinstance(content, dict) or not content:
        raise _unreadable(path, "it holds no named tensors")
    return content


def _reader(path: Path) -> Callable[[Path], Any]:
    with path.open("rb") as file:
        head = file.read(_ENOUGH)
    if not head:
        raise _unreadable(path, "it is empty")
    if head.lstrip()[:1] == b"<":
        raise _unreadable(path, "it is a web page, which a site may send when it refuses a download")
    if head.startswith(b"PK\x03\x04"):
        return _read_torch
    if head.startswith(b"\x80"):
        return _read_legacy_torch if _LEGACY_TORCH in head else read_networks
    if head[8:9] == b"{":
        return _read_safetensors
    raise _unreadable(path, "it starts like no known format")


def _read_torch(path: Path) -> Any:
    import torch

    with zipfile.ZipFile(path) as archive:
        if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
            raise _unreadable(path, "it is a compressed archive, which PyTorch never writes; it may be huge")
    return torch.load(path, weights_only=True, map_location="cpu", mmap=True)


def _read_legacy_torch(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True, map_location="cpu")


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _reason(error: Exception) -> str:
    """What is wrong, on one line. Leaves out PyTorch's advice to load the file in a way that runs its code."""
    text = str(error).strip().split("\n")[0].split(". ")[0]
    if isinstance(error, RefusedError):
        return text
    if isinstance(error, OSError):
        return error.strerror or text
    code = re.search(r"(?:GLOBAL|class|function) ([\w.]+)", str(error))
    if code and "Weights only load failed" in text:
        return f"it asks for '{code[1]}', which is code and not data"
    return f"it is damaged ({type(error).__name__}{': ' if text else ''}{text})"


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path}: cannot be read as published weights: {reason}. Nothing in it was run. Remove it and fetch it again; "
        "if that does not help, take it from another source that has the same hash."
    )
