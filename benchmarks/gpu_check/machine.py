"""What the machine is, and what it can do at most."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess

import torch
from torch import Tensor
from torch.nn import functional

from gpu_check.clock import seconds_per_call
from gpu_check.parts import Check
from reprior.machine.devices import chosen_device
from reprior.machine.precision import computing_in
from reprior.types import Precision

FIELDS = ("name", "driver_version", "memory.total", "memory.used", "utilization.gpu", "power.limit", "clocks.max.sm")
EXACT = 1e-5
"""Relative error of a product in true float32. In TF32, whose inputs have 10 bits, it is 3e-4."""
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")


def check(check: Check) -> None:
    """Facts, rates, and whether float32 is what it says."""
    chosen_device(check.settings.device)  # UserError, with the reason, if torch cannot use it
    with check.trying("facts"):
        facts(check)
    for precision in PRECISIONS:
        with check.trying(f"products in {precision}"):
            rate = product_rate(check.device, precision, check.quick)
            check.measured(f"matrix products in {precision}", f"{rate / 1e12:.4g} TFLOP/s", flops=rate)
    with check.trying("memory"):
        rate = memory_rate(check.device, check.quick)
        check.measured("memory", f"{rate / 1e9:.4g} GB/s", bytes_per_second=rate)
    for name in ("matrix product", "convolution"):
        with check.trying(name):
            error = rounding(check.device, name)
            check.judged(f"rounding of a float32 {name}", f"{error:.1e}", f"< {EXACT:.0e}", error < EXACT, error=error)


def facts(check: Check) -> None:
    """Names and versions."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "safetensors", "tqdm")}
    check.measured("software", f"Python {platform.python_version()}, torch {torch.__version__}", **versions)
    check.measured("processor", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}", machine=cpu_name())
    if not check.cuda:
        check.skipped("GPU", "the device is a CPU")
        return
    about = torch.cuda.get_device_properties(check.device)
    free, total = torch.cuda.mem_get_info(check.device)
    check.measured(
        "GPU",
        f"{about.name}, compute capability {about.major}.{about.minor}, {total / 2**30:.1f} GiB",
        processors=about.multi_processor_count,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        count=torch.cuda.device_count(),
        nvidia_smi=nvidia_smi(),
    )
    check.measured("CUDA, cuDNN", f"{torch.version.cuda}, {torch.backends.cudnn.version()}")
    check.measured("free memory", f"{free / total:.0%}", free=free)


def nvidia_smi() -> str:
    """What nvidia-smi says about all GPUs, with the driver's version."""
    command = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no answer: {error}"
    return (done.stdout + done.stderr).strip()


def cpu_name() -> str:
    """The processor's own name."""
    from measure_steps import device_name

    return device_name("cpu")


def product_rate(device: torch.device, precision: Precision, quick: bool) -> float:
    """Operations per second of a large matrix product; a product and a sum are two."""
    n = 256 if quick else 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    if precision == "bfloat16":
        a, b = a.bfloat16(), b.bfloat16()
    with computing_in("tf32" if precision == "tf32" else "float32", device):
        return 2 * n**3 / seconds_per_call(lambda: a @ b, device, 0.02 if quick else 1.0)


def memory_rate(device: torch.device, quick: bool) -> float:
    """Bytes per second that a copy inside the device's memory reads and writes."""
    size = 2**24 if quick else 2**30
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds_per_call(lambda: target.copy_(source), device, 0.02 if quick else 0.5)


def rounding(device: torch.device, name: str) -> float:
    """The relative error of an operation inside `computing_in("float32")`, against float64 on the CPU."""
    rng = torch.Generator().manual_seed(0)
    shapes = {"matrix product": ((256, 256), (256, 256)), "convolution": ((4, 64, 32, 32), (64, 64, 3, 3))}[name]
    a, b = (torch.randn(shape, generator=rng) for shape in shapes)

    def apply(a: Tensor, b: Tensor) -> Tensor:
        return a @ b if name == "matrix product" else functional.conv2d(a, b, padding=1)

    exact = apply(a.double(), b.double())
    with computing_in("float32", device):
        found = apply(a.to(device), b.to(device)).cpu().double()
    return float((found - exact).norm() / exact.norm())
