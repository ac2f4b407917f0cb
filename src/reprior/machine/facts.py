"""Facts about the process of a job: device, memory, time, command, versions."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import sys
import time

_PACKAGES = ("lpips", "matplotlib", "numpy", "pandas", "pillow", "safetensors", "scipy", "seaborn", "torch")
"""Results may depend on the versions of these packages."""
_BEGAN = time.perf_counter()


def seconds_since_start() -> float:
    """Seconds since this process imported this module: the cost of a job before its work starts."""
    return time.perf_counter() - _BEGAN


def command() -> str:
    """The command that started this process, ready to paste."""
    return shlex.join(["python", "-m", "reprior", *sys.argv[1:]])


def peak_memory_mib() -> float:
    """Peak memory so far: of the GPU if CUDA is in use, else of the process."""
    import resource

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def device_name(device: str) -> str:
    """`NVIDIA H200`, or `cpu (x86_64)`."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"{device} ({platform.machine()})"


def versions() -> dict[str, str]:
    """Versions of Python, of this package, and of the packages that a result may depend on."""
    installed = {name: importlib.metadata.version(name) for name in ("reprior", *_PACKAGES)}
    return {"python": platform.python_version(), **installed}
