"""Runs Snakemake as its command does, in forks of a process that has imported it: a second less for each run.

Runs of one process of tests also share a warm parent, so that each need not import torch. Each fork imports this
module, so it imports nothing slow, and not the package, of which some runs take another copy.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["snakemake.cli"])


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit status and the whole output of `python -m snakemake`."""
    if "PYTHONPATH" not in environment:  # a parent does jobs only for its own environment
        environment = {**environment, **_shared_parent()}
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        fork = _CONTEXT.Process(target=_main, args=(list(arguments), str(folder), dict(environment), output.name))
        fork.start()
        fork.join()
        return fork.exitcode or 0, output.read()


def _main(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    with Path(output).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *map(os.path.abspath, filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))]
    sys.argv[:] = ["snakemake", *arguments]
    from snakemake.cli import main

    main(arguments)


def forking(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a job that shall be a fork of the shared parent."""
    from reprior.jobs import warm

    return {**environment, **dict.fromkeys(warm.THREADS, "1"), **_shared_parent()}


def _shared_parent() -> dict[str, str]:
    """The variable that leads to a warm parent, which ends with this process of tests."""
    from reprior.jobs import warm

    name, _ = _parent()
    return {warm.VARIABLE: name}


def started_parent() -> tuple[str, subprocess.Popen[bytes] | None]:
    """A new warm parent and the name that leads to it, which is not put into this process's environment."""
    import pytest

    from reprior.jobs import warm

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.VARIABLE, "")
        parent = warm.start()
        return os.environ[warm.VARIABLE], parent


_parent = functools.cache(started_parent)  # it also keeps the parent's standard input open, with which the parent ends
