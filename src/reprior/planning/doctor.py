"""`reprior doctor`: checks whether this machine can run what is configured, and says what to do if not."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from reprior import __version__
from reprior.acquire import mirrors
from reprior.acquire.fetch import MANUAL
from reprior.acquire.registry import Source, known_source
from reprior.errors import UserError
from reprior.machine import devices
from reprior.planning import footprint, plugins
from reprior.planning.plan import Plan
from reprior.planning.step_times import TABLE, read_rows

OK, NOTE, FIX = "ok", "note", "FIX"
_INSTALL = "install what the lock file names: remove .venv/.installed and start `make demo`, or call envs/install.sh"
_ELSEWHERE = "name another folder: --config data=... results=..., or in config.yaml"
_WIDTH, _INDENT = 80, 17


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    mark: str
    """`ok`, `note` or `FIX`. `FIX`: what is configured cannot run until this is fixed."""
    about: str
    text: str
    advice: str = ""


Check = Callable[[Plan, Path], Iterator[Finding]]


def examine(plan: Plan, root: Path) -> list[Finding]:
    """The findings of all checks of this machine, for a plan of the project in `root`."""
    return [finding for check in _CHECKS for finding in _survived(check, plan, root)]


def described(findings: Sequence[Finding]) -> str:
    """The findings as text that fits on one screen: one line each, with its advice below."""
    to_fix = sum(finding.mark == FIX for finding in findings)
    return "\n".join([*map(_lines, findings), "", f"To fix: {to_fix}." if to_fix else "Nothing to fix."])


def _lines(finding: Finding) -> str:
    first, next_ones = f"{finding.mark:<5} {finding.about:<{_INDENT - 7}} ", " " * _INDENT
    advice = [_filled(finding.advice, f"{next_ones}-> ", f"{next_ones}   ")] if finding.advice else []
    return "\n".join([_filled(finding.text, first, next_ones), *advice])


def _filled(text: str, first: str, next_ones: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=next_ones,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _survived(check: Check, plan: Plan, root: Path) -> Iterator[Finding]:
    """What a check finds. An exception in the check becomes a finding, too."""
    about = check.__name__.strip("_")
    try:
        yield from check(plan, root)
    except UserError as error:
        yield Finding(FIX, about, str(error))
    except Exception as error:
        yield Finding(FIX, about, f"could not be checked: {type(error).__name__}: {error}", "fix that first")


def _plan(plan: Plan, root: Path) -> Iterator[Finding]:
    text = f"{', '.join(plan.studies)} at scale={plan.config.scale}: {footprint.jobs(plan).total():,} jobs in all"
    yield Finding(OK, "plan", f"{text}; `reprior plan` says what they take")


def _python(plan: Plan, root: Path) -> Iterator[Finding]:
    """Jobs call `python -m reprior`: that may be another Python than this one."""
    version = ".".join(map(str, sys.version_info[:3]))
    activate = "activate the environment in which reprior is installed: source .venv/bin/activate"
    path = shutil.which("python")
    if path is None or not (used := _reprior_of(path)):
        lacks = f"`python` on PATH, {path}, has no reprior" if path else "there is no `python` on PATH"
        yield Finding(FIX, "python", f"{lacks}, and jobs call `python -m reprior`", activate)
    elif used != Path(__file__).resolve().parents[1]:
        yield Finding(FIX, "python", f"jobs would use another reprior, that of {path}: {used}", activate)
    else:
        yield Finding(OK, "python", f"{version}, reprior {__version__}; jobs use the same")


def _reprior_of(python: str) -> Path | None:
    ask = [python, "-c", "import reprior; print(reprior.__file__)"]
    done = subprocess.run(ask, capture_output=True, text=True, timeout=60)
    return Path(done.stdout.strip()).resolve().parent if done.returncode == 0 else None


def _packages(plan: Plan, root: Path) -> Iterator[Finding]:
    wrong = list(_unmet())
    if wrong:
        yield Finding(FIX, "packages", "; ".join(wrong), _INSTALL)
    else:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("snakemake", "torch", "numpy"))
        yield Finding(OK, "packages", f"all are installed: {shown} and others")
    lacking = {plugins.not_installed("method", name) for name in plugins.names("method")}
    for reason, cells in footprint.left_out(plan).items():
        if reason in lacking:
            why, _, advice = reason.partition("; ")
            yield Finding(NOTE, "packages", f"{why}, so {cells} cells are left out", advice)


def _unmet() -> Iterator[str]:
    """Requirements of this package that are not installed or have a wrong version."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, metadata.requires("reprior") or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                yield f"{requirement.name} is not installed"
            else:
                if not requirement.specifier.contains(version, prereleases=True):
                    yield f"{requirement.name} is {version}, and {requirement.specifier} is needed"


def _machine(plan: Plan, root: Path) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield Finding(OK, "machine", f"{cores} cores, {footprint.readable(memory)} of memory")


def _device(plan: Plan, root: Path) -> Iterator[Finding]:
    try:
        importlib.import_module("torch")
    except Exception as error:  # a missing or incompatible library may raise any exception
        yield Finding(FIX, "device", f"torch cannot be imported: {type(error).__name__}: {error}", _INSTALL)
        return
    try:
        gpus = devices.usable_gpus() if devices.gpus() else []
    except devices.NoAnswerError as error:
        yield Finding(NOTE, "device", f"{error}, so GPUs cannot be listed", "fix the driver, if there is a GPU here")
        gpus = []
    try:
        device = devices.chosen_device(plan.config.device)
    except UserError as error:
        advice = "set device to auto; or run this where there is one: on a cluster, within a job"
        yield Finding(FIX, "device", str(error).split(";")[0].removeprefix("device: "), advice)
        return
    yield _computing_on(device, gpus, plan)


def _computing_on(device: str, gpus: Sequence[devices.Gpu], plan: Plan) -> Finding:
    kinds = [f"{gpu.model}, {gpu.memory}" for gpu in gpus]
    listed = "; ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if device == "cuda":
        at_once = len(gpus) * plan.config.jobs_per_gpu
        advice = f"to use all of it: snakemake --resources gpu={at_once} ..." if at_once > 1 else ""
        return Finding(OK, "device", f"cuda: {listed or 'nvidia-smi lists no GPU, so jobs may share one'}", advice)
    if plan.config.device != "auto":
        return Finding(OK, "device", f"{device}, as configured")
    if listed:
        advice = "torch with CUDA: make demo TORCH=locked; if it has CUDA, the driver may be too old for it"
        return Finding(NOTE, "device", f"{device}: torch cannot use {listed}", advice)
    return Finding(NOTE, "device", f"{device}: torch sees no GPU here; `reprior plan` says how long jobs take")


def _folders(plan: Plan, root: Path) -> Iterator[Finding]:
    """The folders that a run writes to: data, results, and the working folder, where Snakemake keeps its notes."""
    wanted = [Path(plan.config.data), Path(plan.config.results), Path()]
    wrong = [finding for folder in wanted for finding in _unfit(folder)]
    yield from wrong
    if not wrong:
        named = ", ".join(map(str, wanted[:2]))
        yield Finding(OK, "folders", f"{named} and the working folder can be written, and offer locks")


def _unfit(folder: Path) -> Iterator[Finding]:
    where = _existing(folder)
    try:
        file = tempfile.TemporaryFile(dir=where)  # noqa: SIM115
    except OSError as error:
        yield Finding(FIX, "folders", f"{where}: cannot be written ({error.strerror})", f"allow it, or {_ELSEWHERE}")
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            advice = f"mount it with locks (Lustre: -o flock), or {_ELSEWHERE}"
            yield Finding(FIX, "folders", f"{where}: this file system offers no locks ({error.strerror})", advice)


def _existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _disk(plan: Plan, root: Path) -> Iterator[Finding]:
    """Compare what is still to be written with the free space: one finding per disk."""
    disks: dict[int, list[tuple[Path, int]]] = {}
    for folder, left in _still_to_write(plan, root).items():
        disks.setdefault(_existing(folder).stat().st_dev, []).append((folder, left))
    for found in disks.values():
        folders, left = " and ".join(str(folder) for folder, _ in found), sum(each for _, each in found)
        free = shutil.disk_usage(_existing(found[0][0])).free
        text = f"{folders}: about {footprint.readable(left)} to be written, {footprint.readable(free)} free"
        if left > free:
            yield Finding(FIX, "disk", text, f"free some, or {_ELSEWHERE}")
        else:
            yield Finding(OK, "disk", text)


def _still_to_write(plan: Plan, root: Path) -> dict[Path, int]:
    """Bytes by folder: those of the whole run minus what is there already."""
    needed = footprint.disk(plan, {row.key: row for row in read_rows(root / TABLE)})
    data, results = Path(plan.config.data), Path(plan.config.results)
    made = [data / "weights" / f"{weights.name}.safetensors" for weights in footprint.made_weights(plan)]
    downloads, images = [plan.raw / name for name in plan.downloads], [data / "images" / plan.config.scale]
    in_data = needed.downloads + needed.weights + needed.images
    return {
        data: max(0, in_data - sum(map(_bytes_in, [*downloads, *made, *images]))),
        results: max(0, needed.total - in_data - _bytes_in(plan.folder)),
    }


def _bytes_in(path: Path) -> int:
    """The size of a file, or of all files below a folder."""
    files = [Path(parent, name) for parent, _, names in os.walk(path) for name in names] or [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _downloads(plan: Plan, root: Path) -> Iterator[Finding]:
    """Downloads that are there, that will be fetched, and that the user must provide."""
    missing = [name for name in plan.downloads if not (plan.raw / name).exists()]
    there = len(plan.downloads) - len(missing)
    if not plan.downloads:
        yield Finding(OK, "downloads", "none is needed")
    elif there:
        yield Finding(OK, "downloads", f"{there} of {len(plan.downloads)} are in {plan.raw}")
    by_hand = {name: reason for name in missing if (reason := _hindrance(plan, name, known_source(name)))}
    if fetched := [name for name in missing if name not in by_hand]:
        yield Finding(NOTE, "downloads", f"fetched when needed, or now by `snakemake acquire`: {_sized(fetched)}")
    for reason in dict.fromkeys(by_hand.values()):
        names = [name for name in by_hand if by_hand[name] == reason]
        advice = (
            f"put the files into {Path(plan.config.data) / MANUAL}/, or name a folder that holds them: --config"
            " 'mirrors=[/folder]'; docs/data.md says where to get them"
        )
        yield Finding(FIX, "downloads", f"cannot be fetched, as {reason}: {_sized(names)}", advice)


def _hindrance(plan: Plan, name: str, source: Source) -> str:
    """Why a download cannot be fetched; empty if it can, or if its file is at hand."""
    reason = "offline=true" if any(variant.addresses for variant in source.accepts) else "they have no public address"
    if reason == "offline=true" and not plan.config.offline:
        return ""
    manual = Path(plan.config.data) / MANUAL
    named = (folder / variant.file for folder in ((plan.raw / name).parent, manual) for variant in source.accepts)
    at_hand = any(file.is_file() for file in named)
    return "" if at_hand or mirrors.find(source.accepts, [manual, *map(Path, plan.config.mirrors)]) else reason


def _sized(downloads: Sequence[str]) -> str:
    """`celeba/csgm_celebAtest.zip (0.4 MB), ...`"""
    sizes = {name: footprint.download_size(name) for name in downloads}
    return ", ".join(
        f"{name} ({footprint.readable(size) if size else 'size not known'})" for name, size in sizes.items()
    )


def _weights(plan: Plan, root: Path) -> Iterator[Finding]:
    """Weights that are there, that a job makes, and that the user must provide."""
    makers = {Path(spec["weights"]): plan.made_weights(spec) for spec in plan.networks()}
    if there := [path.name for path in makers if path.is_file()]:
        yield Finding(OK, "weights", f"there: {', '.join(there)}")
    for path, weights in makers.items():
        if path.is_file():
            continue
        if weights is None:
            yield Finding(FIX, "weights", f"{path} is not there, and no job makes it", "put it there")
        elif weights.training:
            advice = "this takes long and needs a GPU: docs/training.md"
            yield Finding(NOTE, "weights", f"{path.name}: will be trained by recipes/{weights.name}.yaml", advice)
        else:
            yield Finding(NOTE, "weights", f"{path.name}: will be converted from {weights.source}")


def _slurm(plan: Plan, root: Path) -> Iterator[Finding]:
    try:
        partitions = devices.partitions()
    except devices.NoAnswerError as error:
        advice = "until it does, jobs run on this machine alone; if this is not a cluster, ignore this"
        yield Finding(NOTE, "slurm", f"is installed, but does not answer: {error}", advice)
        return
    if partitions is None:
        yield Finding(OK, "slurm", "not installed: jobs run on this machine")
        return
    answers, plugin = f"answers; partitions: {', '.join(partitions)}", "snakemake-executor-plugin-slurm"
    try:
        yield Finding(OK, "slurm", f"{answers}; the plug-in for Snakemake is there, {metadata.version(plugin)}")
    except metadata.PackageNotFoundError:
        advice = f"to submit jobs, install {plugin} into this environment: docs/cluster.md"
        yield Finding(NOTE, "slurm", f"{answers}; Snakemake has no plug-in for it", advice)
    if jobs := devices.queued_jobs(Path()):
        text = f"{len(jobs)} jobs of a run in this folder are queued or running: {jobs[0]}{', ...' * (len(jobs) > 1)}"
        yield Finding(NOTE, "slurm", text, "wait for them, or scancel them, before you start another run here")


_CHECKS: tuple[Check, ...] = (
    _plan,
    _python,
    _packages,
    _machine,
    _device,
    _folders,
    _disk,
    _downloads,
    _weights,
    _slurm,
)
