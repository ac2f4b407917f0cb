"""In which precision networks compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reprior.types import Precision

if TYPE_CHECKING:
    import torch


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside the block, convolutions and matrix products compute in this precision.

    - `float32`: as it says. Without this block, PyTorch's convolutions on NVIDIA GPUs use TF32.
    - `tf32`: inputs of products are rounded to 10 bits on NVIDIA GPUs that can do so. Elsewhere it is float32.
    - `bfloat16`: their inputs and outputs have 8 bits, in float32 sums.

    Tensors that stay from step to step are float32 in each case.
    """
    import torch

    rounded = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)
    with _tf32(precision == "tf32"), rounded:
        yield


def layout(precision: Precision, device: torch.device | str) -> torch.memory_format:
    """The order in memory in which a trained network's convolutions are fastest: see docs/benchmarks.md.

    Channels last on a CPU, and on a GPU in low precision. A GPU's float32 convolutions are slower in that order.
    """
    import torch

    cpu = torch.device(device).type == "cpu"
    return torch.channels_last if cpu or precision != "float32" else torch.contiguous_format


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    import torch

    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
