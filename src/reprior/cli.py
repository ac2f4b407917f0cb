"""One subcommand per stage of the workflow. To run a job by hand, paste the command that Snakemake prints."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior import __version__
from reprior.errors import UserError
from reprior.jobs import stage_jobs
from reprior.jobs.job import Facts, Job, identity
from reprior.jobs.job import run as run_job
from reprior.machine.facts import device_name
from reprior.machine.memory import keep_freed_memory
from reprior.planning import plugin_folders

if TYPE_CHECKING:
    from reprior.planning.plan import Plan

Work = Callable[..., str | None]
"""Calls a stage with the facts of its job and its arguments. May return the device it ran on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand. An error that the user can fix ends with one message and exit status 1."""
    parsed = vars(_parser().parse_args(arguments))
    run: Callable[..., None] = parsed.pop("run")
    keep_freed_memory()
    try:
        plugin_folders.use(parsed.pop("plugins", []))
        run(**parsed)
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"reprior: {error}")
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reprior", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    stage = parser.add_subparsers(required=True, metavar="STAGE")
    _prepare(stage)
    _observe(stage)
    _reconstruct(stage)
    _evaluate(stage)
    _aggregate(stage)
    _render(stage)
    _report(stage)
    _train(stage)
    _convert(stage)
    _design(stage)
    _acquire(stage)
    _crate(stage)
    _plan(stage)
    _trace(stage)
    _verify(stage)
    _doctor(stage)
    _new(stage)
    _restore(stage)
    return parser


def _add(stage: Any, name: str, run: Callable[..., None], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = stage.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _add_stage(stage: Any, name: str, text: str, work: Work | None = None) -> argparse.ArgumentParser:
    """A subcommand that makes files. It runs as a job: alone on its outputs, and with a record."""
    describe: Callable[..., Job] = getattr(stage_jobs, name)

    def run(code: str | None, **arguments: Any) -> None:
        run_job(describe(**arguments), lambda facts: (work or _plain(name))(facts, **arguments), code)

    parser = _add(stage, name, run, text)
    parser.add_argument("--code", help="hash of the code when the job was planned: stop if it has changed")
    own = "your folders of plug-ins, as `plugins` in config.yaml"
    parser.add_argument("--plugins", type=Path, nargs="+", default=[], metavar="FOLDER", help=own)
    return parser


def _plain(name: str) -> Work:
    """The stage of that name, without the facts of its job. It is imported when it runs."""

    def work(facts: Facts, **arguments: Any) -> None:
        getattr(importlib.import_module(f"reprior.stages.{name}"), name)(**arguments)

    return work


def _prepare(stage: Any) -> None:
    parser = _add_stage(stage, "prepare", "make one batch of images")
    parser.add_argument("selection", type=_json, help="JSON: dataset, shift, count and first, or ids")
    _raw(parser)
    parser.add_argument("--out", type=Path, required=True)


def _observe(stage: Any) -> None:
    parser = _add_stage(stage, "observe", "measure one batch of images: y = A x + e")
    parser.add_argument("images", type=Path)
    parser.add_argument("--case", type=_json, required=True, help="JSON: study, case, operator, noise")
    parser.add_argument("--out", type=Path, required=True)


def _reconstruct(stage: Any) -> None:
    parser = _add_stage(stage, "reconstruct", "run one method on one batch of observations", _run_reconstruct)
    parser.add_argument("observation", type=Path)
    parser.add_argument("--label", required=True, help="the method's name in its study")
    parser.add_argument("--method", type=_json, required=True, help="JSON: name of the method and its settings")
    parser.add_argument("--generator", type=_json, help="JSON: name, settings and weights of the generator")
    networks = "JSON: trained networks that the method needs, {its argument: name, settings and weights}"
    parser.add_argument("--networks", type=_json, default={}, help=networks)
    starts = "JSON: what the method starts from, {its argument: {file: a result, step: null or the step of its state}}"
    parser.add_argument("--starts", type=_json, default={}, help=starts)
    _raw(parser)
    parser.add_argument("--marks", type=_json, default=[], help="JSON: steps from which other methods start")
    _long(parser)
    parser.add_argument("--out", type=Path, required=True)


def _evaluate(stage: Any) -> None:
    parser = _add_stage(stage, "evaluate", "compare one batch of reconstructions with the truth")
    parser.add_argument("estimate", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--metrics", type=_json, required=True, help="JSON: list of metrics with their settings")
    _raw(parser)
    parser.add_argument("--out", type=Path, required=True)


def _aggregate(stage: Any) -> None:
    parser = _add_stage(stage, "aggregate", "join tables of numbers")
    parser.add_argument("parts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)


def _render(stage: Any) -> None:
    parser = _add_stage(stage, "render", "make one table or figure", _run_render)
    parser.add_argument("spec", type=_json, help="JSON: the artifact, its cases and methods")
    parser.add_argument("--reported", type=Path, required=True, help="csv of the paper's numbers")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix")


def _report(stage: Any) -> None:
    parser = _add_stage(stage, "report", "make the report from the artifacts", _run_report)
    parser.add_argument("sidecars", type=Path, nargs="+", help="the .json next to each artifact")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--command", required=True, help="the command that remakes everything")


def _train(stage: Any) -> None:
    parser = _add_stage(stage, "train", "train a network on a data set, continuing where it stopped", _run_train)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--network", type=_json, required=True, help="JSON: name and settings of what is trained")
    parser.add_argument("--against", type=_json, default={}, help="JSON: frozen generators by name, with their weights")
    parser.add_argument("--dataset", type=_json, required=True)
    parser.add_argument("--recipe", type=_json, required=True)
    _raw(parser)
    _long(parser)


def _convert(stage: Any) -> None:
    parser = _add_stage(stage, "convert", "turn a published checkpoint into weights of a generator")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--generator", type=_json, required=True, help="JSON: name and settings of the generator")
    parser.add_argument("--layout", required=True, help="naming scheme of the tensors in the checkpoint")
    parser.add_argument("--out", type=Path, required=True)


def _design(stage: Any) -> None:
    parser = _add_stage(stage, "design", "design the matrix of an operator for a generator", _run_design)
    parser.add_argument("--operator", type=_json, required=True, help="JSON: name of the operator, its design settings")
    parser.add_argument("--generator", type=_json, required=True, help="JSON: name, settings and weights")
    _device(parser)
    parser.add_argument("--out", type=Path, required=True)


def _acquire(stage: Any) -> None:
    parser = _add_stage(stage, "acquire", "fetch one download, or say which file to put where", _run_acquire)
    parser.add_argument("path", type=Path, help="where it belongs: data/raw/<source>")
    _raw(parser)
    parser.add_argument("--mirrors", type=_json, default=[], help="JSON: list of folders to look in first")
    parser.add_argument("--offline", action="store_true", help="do not use the network")


def _plan(stage: Any) -> None:
    parser = _add(stage, "plan", _run_plan, "say what a run would take: jobs, images, time, downloads, disk")
    _config(parser)


def _verify(stage: Any) -> None:
    parser = _add(stage, "verify", _run_verify, "hash every result, and set aside those that are damaged")
    _config(parser)


def _doctor(stage: Any) -> None:
    parser = _add(stage, "doctor", _run_doctor, "say whether this machine can run what is configured, and what to fix")
    _config(parser)


def _new(stage: Any) -> None:
    parser = _add(stage, "new", _run_new, "write a first plug-in or study of your own, and a test of it")
    parser.add_argument("kind", choices=["method", "operator", "generator", "dataset", "metric", "study"])
    parser.add_argument("name", help="such as my-blur")
    own = "your folder of plug-ins, made if absent"
    parser.add_argument("--plugins", type=Path, default=Path("my_plugins"), dest="folder", metavar="FOLDER", help=own)


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as Snakemake's option")


def _restore(stage: Any) -> None:
    parser = _add(stage, "restore", _run_restore, "restore one photo by one or several methods: docs/restore.md")
    parser.add_argument("photo", type=Path, help="JPEG, PNG, WEBP, BMP, TIFF or GIF")
    parser.add_argument("--task", choices=["sr", "inpaint", "deblur", "denoise", "cs"], required=True)
    parser.add_argument("--factor", type=int, help="sr: how many times smaller the observation is (4)")
    parser.add_argument(
        "--mask", type=Path, help="inpaint: picture of the photo's size; black is hidden, white observed"
    )
    box = ("TOP", "LEFT", "HEIGHT", "WIDTH")
    parser.add_argument("--box", type=int, nargs=4, metavar=box, help="inpaint: hide this box, in pixels of the photo")
    parser.add_argument("--width", type=int, help="deblur: side of the square that is averaged, odd (9)")
    parser.add_argument("--ratio", type=float, help="cs: number of measurements per pixel value (0.1)")
    parser.add_argument("--noise", type=float, help="deviation of the noise; pixels lie in [0, 1] (0; denoise: 0.1)")
    parser.add_argument("--given", action="store_true", help="the photo is the observation; no truth is known")
    parser.add_argument("--method", default="csgm,iagan", dest="methods", help="one or several (csgm,iagan)")
    parser.add_argument("--generator", default="began-celeba-64", help="name of its weights (began-celeba-64)")
    crop = ("TOP", "LEFT", "SIDE")
    parser.add_argument("--crop", type=int, nargs=3, metavar=crop, help="part of the photo to use (the centre square)")
    parser.add_argument("--steps", type=int, help="steps of each method (its own default)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the outputs (restored/<photo>-<task>)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of downloads and weights (data)")
    parser.add_argument(
        "--mirror", type=Path, action="append", default=[], dest="mirrors", help="look here for downloads"
    )
    parser.add_argument("--offline", action="store_true", help="do not use the network")


def _crate(stage: Any) -> None:
    parser = _add_stage(stage, "crate", "describe a finished run as an RO-Crate", _run_crate)
    parser.add_argument("results", type=Path, nargs="+", help="final files of the run; their history is included")
    parser.add_argument("--workflow", type=Path, nargs="+", required=True, help="the workflow's files, Snakefile first")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that contains the workflow's files")
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="folders with records of jobs")
    _raw(parser)
    parser.add_argument("--command", required=True, help="the command that remakes everything")
    parser.add_argument("--out", type=Path, required=True, help="ro-crate-metadata.json in the folder of the results")


def _trace(stage: Any) -> None:
    parser = _add(stage, "trace", _run_trace, "show how a cell, table, figure or file was made, and check it")
    parser.add_argument("target", help="study/case/method, study/artifact or a file")
    parser.add_argument("--all", action="store_true", dest="every", help="show all of many similar jobs, not one")
    _config(parser)


def _raw(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="folder of downloads")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="how many jobs may share a GPU")


def _long(parser: argparse.ArgumentParser) -> None:
    _device(parser)
    parser.add_argument("--checkpoint-seconds", type=float, default=60)


def _run_reconstruct(facts: Facts, device: str, jobs_per_gpu: int, **arguments: Any) -> str:
    from reprior.machine.devices import taken

    with taken(device, jobs_per_gpu) as where:
        from reprior.stages.reconstruct import reconstruct

        reconstruct(**arguments, device=where, identity=identity(facts))
        return device_name(where)


def _run_render(facts: Facts, **arguments: Any) -> None:
    from reprior.render.artifact import render

    render(**arguments)


def _run_report(facts: Facts, **arguments: Any) -> None:
    from reprior.render.report import build

    build(**arguments)


def _run_train(facts: Facts, device: str, jobs_per_gpu: int, **arguments: Any) -> str:
    from reprior.machine.devices import taken

    with taken(device, jobs_per_gpu) as where:
        from reprior.stages.train import train

        train(**arguments, device=where, code=facts["code"])
        return device_name(where)


def _run_design(facts: Facts, device: str, jobs_per_gpu: int, **arguments: Any) -> str:
    from reprior.machine.devices import taken

    with taken(device, jobs_per_gpu) as where:
        from reprior.stages.design import design

        design(**arguments, device=where)
        return device_name(where)


def _run_acquire(facts: Facts, path: Path, raw: Path, mirrors: list[str], offline: bool) -> None:
    from reprior.acquire.fetch import acquire

    if not path.is_relative_to(raw):
        raise UserError(f"{path}: downloads belong in {raw}; give a path within it, or another --raw")
    acquire(path.relative_to(raw).as_posix(), raw, mirrors=[Path(mirror) for mirror in mirrors], offline=offline)


def _run_crate(facts: Facts, **arguments: Any) -> None:
    from reprior.provenance.crate import write_crate

    write_crate(**arguments)


def _run_trace(target: str, every: bool, config: list[str]) -> None:
    from reprior.provenance.trace import trace

    print(trace(target, _planned(config), Path(), every))


def _run_plan(config: list[str]) -> None:
    from reprior.planning.estimate import describe

    print(describe(_planned(config), Path()))


def _run_verify(config: list[str]) -> None:
    from reprior.jobs.workplace import Workplace

    if found := Workplace.of(_planned(config), Path()).verified():
        raise UserError("\n".join(found))
    print("every file is as its job left it")


def _run_doctor(config: list[str]) -> None:
    from reprior.planning.doctor import FIX, described, examine

    findings = examine(_planned(config), Path())
    print(described(findings), flush=True)
    if any(finding.mark == FIX for finding in findings):
        sys.exit(1)


def _run_new(**arguments: Any) -> None:
    from reprior.templates.new import new

    print(new(**arguments))


def _run_restore(methods: str, device: str, **arguments: Any) -> None:
    from reprior.machine.devices import taken

    try:
        with taken(device) as where:
            from reprior.photos.run import asked, restore

            print(restore(asked(methods=methods.split(","), **arguments), where))
    except KeyboardInterrupt:
        print("reprior: stopped before any method began", file=sys.stderr)
        sys.exit(130)


def _planned(config: list[str]) -> Plan:
    from reprior.planning.resolve import make_plan
    from reprior.planning.yaml_files import read_config

    root = Path()
    return make_plan(root, read_config(root, config))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"is not JSON ({error}): {text}") from error
