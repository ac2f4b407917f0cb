"""One subcommand a stage of the workflow. Any job can be run by hand by pasting the command that Snakemake prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reprior import __version__, stages
from reprior.errors import UserError
from reprior.memory import keep_freed_memory


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; an error that the user can mend ends with one message and exit status 1."""
    parsed = vars(_parser().parse_args(arguments))
    run: Callable[..., None] = parsed.pop("run")
    keep_freed_memory()
    try:
        run(**parsed)
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"reprior: {error}")
    except BrokenPipeError:  # whoever reads our output, such as `head`, has seen enough
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
    _acquire(stage)
    _plan(stage)
    return parser


def _add(stage: Any, name: str, run: Callable[..., None], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = stage.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _prepare(stage: Any) -> None:
    parser = _add(stage, "prepare", stages.prepare, "make one batch of images")
    parser.add_argument("selection", type=_json, help="JSON: dataset, shift, count and first, or ids")
    _raw(parser)
    parser.add_argument("--out", type=Path, required=True)


def _observe(stage: Any) -> None:
    parser = _add(stage, "observe", stages.observe, "measure one batch of images: y = A x + e")
    parser.add_argument("images", type=Path)
    parser.add_argument("--case", type=_json, required=True, help="JSON: study, case, operator, noise")
    parser.add_argument("--out", type=Path, required=True)


def _reconstruct(stage: Any) -> None:
    parser = _add(stage, "reconstruct", stages.reconstruct, "run one method on one batch of observations")
    parser.add_argument("observation", type=Path)
    parser.add_argument("--label", required=True, help="the method's name in its study")
    parser.add_argument("--method", type=_json, required=True, help="JSON: name of the method and its settings")
    parser.add_argument("--generator", type=_json, help="JSON: name, settings and weights of the generator")
    parser.add_argument("--start", type=Path, help="result of the method to begin from")
    _device(parser)
    parser.add_argument("--checkpoint-seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True)


def _evaluate(stage: Any) -> None:
    parser = _add(stage, "evaluate", stages.evaluate, "compare one batch of reconstructions with the truth")
    parser.add_argument("estimate", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--metrics", type=_json, required=True, help="JSON: list of metrics with their settings")
    _raw(parser)
    parser.add_argument("--out", type=Path, required=True)


def _aggregate(stage: Any) -> None:
    parser = _add(stage, "aggregate", stages.aggregate, "join tables of numbers")
    parser.add_argument("parts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)


def _render(stage: Any) -> None:
    parser = _add(stage, "render", _run_render, "make one table or figure")
    parser.add_argument("spec", type=_json, help="JSON: the artifact, its cases and methods")
    parser.add_argument("--reported", type=Path, required=True, help="csv of the paper's numbers")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix")


def _report(stage: Any) -> None:
    parser = _add(stage, "report", _run_report, "make the report from the artifacts")
    parser.add_argument("sidecars", type=Path, nargs="+", help="the .json beside each artifact")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--command", required=True, help="the command that remakes everything")


def _train(stage: Any) -> None:
    parser = _add(stage, "train", _run_train, "train a generator on a data set, continuing where it stopped")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--generator", type=_json, required=True)
    parser.add_argument("--dataset", type=_json, required=True)
    parser.add_argument("--recipe", type=_json, required=True)
    _raw(parser)
    _device(parser)


def _convert(stage: Any) -> None:
    parser = _add(stage, "convert", stages.convert, "turn a published checkpoint into weights of a generator")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--generator", type=_json, required=True, help="JSON: name and settings of the generator")
    parser.add_argument("--layout", required=True, help="under which names the checkpoint holds the weights")
    parser.add_argument("--out", type=Path, required=True)


def _acquire(stage: Any) -> None:
    parser = _add(stage, "acquire", _run_acquire, "fetch one download, or say what to place where")
    parser.add_argument("path", type=Path, help="where it belongs: data/raw/<source>")
    _raw(parser)
    parser.add_argument("--mirrors", type=_json, default=[], help="JSON: list of folders to look in first")
    parser.add_argument("--offline", action="store_true", help="do not use the network")


def _plan(stage: Any) -> None:
    parser = _add(stage, "plan", _run_plan, "say what a run would take: jobs, images, time, downloads, disk")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as Snakemake's option")


def _raw(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="folder of downloads")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")


def _run_render(**arguments: Any) -> None:
    from reprior.render.artifact import render

    render(**arguments)


def _run_report(**arguments: Any) -> None:
    from reprior.render.report import build

    build(**arguments)


def _run_train(weights: Path, device: str, **arguments: Any) -> None:
    from reprior.training.generator import train_generator

    work = weights.with_name(f".{weights.stem}")
    checkpoint, log = work.with_suffix(".checkpoint"), work.with_suffix(".jsonl")
    train_generator(weights, checkpoint=checkpoint, log=log, device=stages.chosen_device(device), **arguments)


def _run_acquire(path: Path, raw: Path, mirrors: list[str], offline: bool) -> None:
    from reprior.acquire.fetch import acquire

    if not path.is_relative_to(raw):
        raise UserError(f"{path}: downloads belong in {raw}; give a path within it, or another --raw")
    acquire(path.relative_to(raw).as_posix(), raw, mirrors=[Path(mirror) for mirror in mirrors], offline=offline)


def _run_plan(config: list[str]) -> None:
    from reprior.estimate import describe
    from reprior.resolve import make_plan
    from reprior.study import read_config

    root = Path()
    print(describe(make_plan(root, read_config(root, config)), root))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"is not JSON ({error}): {text}") from error
