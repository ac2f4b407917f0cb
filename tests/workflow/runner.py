"""Runs Snakemake as its command does, in forks of a process that has imported it: a second less for each run.

Runs of one process of tests also share a warm parent, so that each need not import torch. A fork imports the package by
itself, since some runs take another copy of it.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit status and the whole output of `python -m snakemake`."""
    if "PYTHONPATH" not in environment:  # a parent does jobs only for its own environment
        environment = {**environment, **_shared_parent()}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli"])
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        fork = context.Process(target=_main, args=(list(arguments), str(folder), dict(environment), output.name))
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


@functools.cache
def _shared_parent() -> dict[str, str]:
    """The variable that leads to a warm parent, which ends with this process."""
    from reprior.jobs import warm

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.VARIABLE, "")
        _kept.append(warm.start())
        return {warm.VARIABLE: os.environ[warm.VARIABLE]}


_kept: list[Any] = []
"""A parent ends when its standard input is closed, so its process object must stay."""
