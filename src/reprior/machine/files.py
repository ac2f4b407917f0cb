"""Reads and writes results. A file is complete under its final name, or it does not exist."""

from __future__ import annotations

import errno
import glob
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.errors import DiskFullError, UserError

if TYPE_CHECKING:
    import numpy as np
    import torch


@contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` only if the block succeeds."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except Exception as error:
        if _tells_of_full_disk(error):
            raise DiskFullError(f"{path}: no space left on its disk; make room, then start again") from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_halves(path: Path) -> None:
    """Remove temporary files of `written_atomically` that killed processes left."""
    for half in path.parent.glob(glob.escape(f".{path.name}.") + 8 * "?" + glob.escape(path.suffix)):
        half.unlink(missing_ok=True)


def _tells_of_full_disk(error: Exception) -> bool:
    """Whether the disk is full. The error of safetensors has the number only in its text."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in numbers or any(f"(os error {number})" in str(error) for number in numbers)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file atomically, with sorted keys, so that equal content is equal bytes."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def save_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any] | None = None) -> None:
    """Write tensors and a JSON-able `meta` to one safetensors file."""
    from safetensors.torch import save_file

    # Copies, because safetensors refuses tensors that share memory.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with written_atomically(path) as temporary:
        save_file(copies, temporary, metadata=_packed(meta))


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a safetensors file and its `meta`."""
    from safetensors.torch import load_file

    return _read(path, load_file)


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None) -> None:
    """As `save_tensors`, from NumPy arrays and without importing torch."""
    import numpy as np
    from safetensors.numpy import save_file

    with written_atomically(path) as temporary:
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, temporary, metadata=_packed(meta))


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """As `load_tensors`, to NumPy arrays and without importing torch."""
    from safetensors.numpy import load_file

    return _read(path, load_file)


def read_meta(path: str | Path) -> dict[str, Any]:
    """The `meta` of a safetensors file, without its tensors."""
    return _read(path, lambda _: {})[1]


def _packed(meta: Mapping[str, Any] | None) -> dict[str, str]:
    return {"meta": json.dumps(dict(meta or {}), sort_keys=True)}


def _read(path: str | Path, load: Callable[[str | Path], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            packed = (file.metadata() or {}).get("meta", "{}")
        return load(path), json.loads(packed)
    except (SafetensorError, FileNotFoundError) as error:
        raise UserError(
            f"{path}: cannot be read as a safetensors file ({error}); remove it and make it again"
        ) from error
