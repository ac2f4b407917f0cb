"""Which device a job computes on, which GPU it holds, and what SLURM has queued. Only this module knows GPUs and SLURM.

Snakemake assigns a number of GPUs but does not say which. So each job picks one here and locks a file named after it
while it computes. The kernel frees the lock however the job ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from reprior.errors import UserError
from reprior.machine.locks import holder, is_locked, locked

VISIBLE = "CUDA_VISIBLE_DEVICES"
_POLL = 0.5
"""Seconds between two checks for a free GPU."""
_PATIENCE = 4
"""Seconds that another program has to answer. If SLURM's controller is dead, its commands block for minutes."""
_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
"""The name of each job that Snakemake submits ends with the id of its run."""


class NoAnswerError(Exception):
    """An installed program failed or did not answer. The text says why."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, as nvidia-smi lists it."""

    name: str
    """Its UUID, or its index if nvidia-smi does not give the UUID."""
    index: str = ""
    model: str = "a GPU without known UUID"
    memory: str = ""


def gpus() -> list[Gpu]:
    """Every GPU that nvidia-smi lists; none without nvidia-smi; NoAnswerError if it fails."""
    answer = _answer("nvidia-smi", "--query-gpu=uuid,index,name,memory.total", "--format=csv,noheader")
    return [Gpu(*map(str.strip, line.split(",", 3))) for line in (answer or "").splitlines()]


def usable_gpus() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, by UUID or by nvidia-smi's index; all if it is not set."""
    try:
        there = gpus()
    except NoAnswerError as error:
        _say(str(error))
        there = []
    named = os.environ.get(VISIBLE)
    return there if named is None else list(dict.fromkeys(_named(named, there)))


def _named(names: str, there: Sequence[Gpu]) -> Iterator[Gpu]:
    for name in map(str.strip, names.split(",")):
        known = next((gpu for gpu in there if gpu.index == name or (name and gpu.name.startswith(name))), None)
        if known is None and not re.match(r"MIG-" if there else r"MIG-|GPU-|\d", name):
            return  # CUDA, too, stops at the first unknown name: `-1`, or SLURM's `NoDevFiles`
        yield known or Gpu(name)


@contextmanager
def taken(asked: str, jobs_per_gpu: int = 1) -> Iterator[str]:
    """The device for this block, reported on stderr. On CUDA this is one GPU, shared by at most `jobs_per_gpu` jobs.

    Waits while all GPUs are in use. CUDA must not have been used before in this process: it reads only once which GPUs
    it may see.
    """
    with ExitStack() as held:
        found = usable_gpus() if asked == "cuda" or (asked == "auto" and _built_for_cuda()) else []
        gpu = held.enter_context(_one_of(found, jobs_per_gpu)) if found else None
        device = chosen_device(asked, gpu)
        if device != "cuda":
            held.close()
        _say(f"{device}: {_reason(asked, device, gpu)}")
        yield device


def chosen_device(asked: str, gpu: Gpu | None = None) -> str:
    """`auto` is CUDA if available, else Apple's MPS, else the CPU. UserError if another device is not available.

    `gpu` is the only GPU that CUDA sees, if `taken` has chosen one.
    """
    import torch

    there: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if asked == "auto":
        return next(device for device, is_there in there.items() if is_there())
    if not there[asked]():
        raise UserError(
            f"device: {asked} was asked for, but {_absence(asked, gpu)}; set 'device: auto' in config.yaml, or see what"
            " `reprior doctor` says about this machine"
        )
    return asked


def _reason(asked: str, device: str, gpu: Gpu | None) -> str:
    if device == "cuda":
        return f"{gpu.model}, {gpu.name}" if gpu else "no GPU is held, as nvidia-smi lists none: jobs may share one"
    return "as asked" if asked == device else _absence("cuda", gpu)


def _absence(device: str, gpu: Gpu | None) -> str:
    """Why torch has no such device."""
    import torch

    if device == "mps":
        return "torch sees no MPS device here"
    if not _built_for_cuda():
        return f"torch {torch.__version__} is installed without CUDA"
    if gpu is not None:
        return f"torch cannot use {gpu.model}, {gpu.name}: the driver may be too old for it"
    visible = os.environ.get(VISIBLE)
    return "torch sees no GPU here" + ("" if visible is None else f" ({VISIBLE}={visible!r})")


def _built_for_cuda() -> bool:
    import torch

    return torch.backends.cuda.is_built()


@contextmanager
def _one_of(candidates: Sequence[Gpu], jobs_per_gpu: int) -> Iterator[Gpu]:
    """Hold a GPU and make it the only one that CUDA sees."""
    import torch

    if torch.cuda.is_initialized():
        raise RuntimeError("CUDA is in use already in this process; a GPU has to be taken before")
    gpu, lock = _waited_for(candidates, jobs_per_gpu)
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = gpu.name
    try:
        yield gpu
    finally:
        os.environ.pop(VISIBLE) if before is None else os.environ.update({VISIBLE: before})
        lock.close()


def _waited_for(candidates: Sequence[Gpu], jobs_per_gpu: int) -> tuple[Gpu, IO[str]]:
    """The GPU with the fewest jobs, as soon as it has fewer than `jobs_per_gpu`, and the lock on it."""
    folder, told = _lock_folder(), False
    while True:
        with (folder / "choosing").open("w") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)  # freed when the file is closed
            jobs = {gpu: _jobs_on(gpu, folder) for gpu in candidates}
            gpu = min(jobs, key=lambda each: len(jobs[each]))
            if len(jobs[gpu]) < jobs_per_gpu:
                slots = (locked(folder / f"{_identity(gpu)}.{number}") for number in count())
                return gpu, next(slot for slot in slots if slot)
        if not told:
            _say(_waiting([job for each in jobs.values() for job in each], jobs_per_gpu))
            told = True
        time.sleep(_POLL)


def _jobs_on(gpu: Gpu, folder: Path) -> list[str]:
    return [holder(path) for path in sorted(folder.glob(f"{_identity(gpu)}.*")) if is_locked(path)]


def _identity(gpu: Gpu) -> str:
    """A file name that is unique to a GPU. An index alone is not: each SLURM job may see its own GPU as index 0."""
    if gpu.name.isdigit():
        return f"{socket.gethostname()}-{os.environ.get('SLURM_JOB_ID', '')}-{gpu.name}"
    return gpu.name.replace("/", "_")


def _waiting(jobs: Sequence[str], jobs_per_gpu: int) -> str:
    return (
        f"waiting for a GPU: each usable one has reached its limit of {jobs_per_gpu} (jobs_per_gpu): {'; '.join(jobs)}."
        " Either another run uses them, or Snakemake may start more GPU jobs at once than there is room for"
        " (--resources gpu=...)"
    )


def _lock_folder() -> Path:
    """The user's own folder on this machine."""
    folder = Path(tempfile.gettempdir(), f"reprior-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(f"{folder}: must be a folder that you alone can use, for locks on GPUs; move it out of the way")
    return folder


def queued_jobs(folder: Path) -> list[str]:
    """Unfinished jobs that Snakemake submitted from `folder`. Empty, with a note, if SLURM does not answer.

    Other jobs of this user in that folder are not included: one of them may be Snakemake itself.
    """
    try:
        answer = _answer("squeue", "--me", "--noheader", "--format=%i|%T|%j|%Z|%k")
    except NoAnswerError as error:
        _say(f"{error}; so it is not known whether jobs of an earlier run are still queued")
        return []
    jobs = [line.split("|", 4) for line in (answer or "").splitlines()]
    return [
        f"{number} {state.lower()}: {comment}"
        for number, state, name, where, comment in jobs
        if _RUN.search(name) and Path(where).resolve() == folder.resolve()
    ]


def partitions() -> list[str] | None:
    """SLURM's partitions; None if it is not installed; NoAnswerError if its controller does not answer."""
    answer = _answer("sinfo", "--noheader", "--format=%R")
    return None if answer is None else sorted(set(answer.split()))


def _answer(program: str, *arguments: str) -> str | None:
    """What a program prints; None if it is not installed."""
    if shutil.which(program) is None:
        return None
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{program} did not answer within {_PATIENCE} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NoAnswerError(f"{program} failed ({said[-1] if said else f'exit status {done.returncode}'})")
    return done.stdout


def _say(text: str) -> None:
    print(f"device: {text}", file=sys.stderr, flush=True)
