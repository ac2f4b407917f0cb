"""Whether a GPU computes what the CPU computes: the losses of the first steps, and the PSNR after them."""

from __future__ import annotations

from gpu_check.loads import CHAOTIC, DECIBEL, chosen, psnr, relative, truth
from gpu_check.parts import Check
from workloads import Workload

STEPS, STRICT = 20, 5
LOSSES = 1e-4
"""Relative difference of the first losses. Rounding of float32 makes 1e-6 at the first, and each step of Adam may add
to it. TF32, or noise that differs between devices, makes 1e-3 and more at once."""


def check(check: Check) -> None:
    """Each method on 64 pixels, with the same seeds on both, in float32."""
    if not check.cuda:
        check.say("the device is a CPU: it is compared with itself")
    for workload in check.in_time(chosen(check, 64), lambda each: each.name):
        with check.trying(workload.name):
            compare(check, workload)


def compare(check: Check, workload: Workload) -> None:
    """Run a workload on both devices, and compare."""
    steps = 2 if check.quick else STEPS
    images = 1 if check.quick else min(2, workload.images)
    here = workload.ready("cpu", images).ours(steps)
    there = workload.ready(check.settings.device, images).ours(steps)
    assert here.trace is not None and there.trace is not None
    apart = relative(there.trace, here.trace)  # [N, steps]
    strict = 1 if workload.method in CHAOTIC else STRICT
    first = float(apart[:, :strict].max())
    true = truth(workload, images)
    lost = float((psnr(there.images, true) - psnr(here.images, true)).abs().max())
    numbers = {"losses_cpu": here.trace.tolist(), "losses": there.trace.tolist(), "relative": apart.tolist()}
    text = f"{first:.1e} in the first {strict} steps, {float(apart.max()):.1e} in all"
    check.judged(f"{workload.name}: losses", text, f"< {LOSSES:.0e} in the first", first < LOSSES, **numbers)
    if diverged := [name for name, run in (("CPU", here), ("GPU", there)) if "diverged" in run.status]:
        check.failed(f"{workload.name}: status", f"diverged on the {' and the '.join(diverged)}")
    check.judged(f"{workload.name}: PSNR", f"{lost:.4f} dB apart", f"< {DECIBEL} dB", lost < DECIBEL, apart=lost)
