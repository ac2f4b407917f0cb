"""How cost grows: time per image, planning per job, and memory of a job. Draws docs/growth.png, prints its numbers.

    python benchmarks/growth.py
    python benchmarks/growth.py --images 1 10 100 --jobs 100 1000 --batches 1 2 4

Everything is measured on a study of its own in a temporary folder: drawn faces, super-resolution by 4, the bundled
BEGAN. Only its numbers of images and cases change. Times are CPU seconds of one thread, which depend less on other load
than wall-clock time.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprior.planning.footprint import image_sets, jobs
from reprior.planning.job_memory import memory_mb
from reprior.planning.plan import OBSERVATION, CasePlan, Plan, as_json, render_spec
from reprior.planning.resolve import make_plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/growth.png"
WEIGHTS = ROOT / "src/reprior/generators/weights/began-faces-drawn.safetensors"
METHODS: dict[str, dict[str, Any]] = {
    "csgm": {"name": "csgm", "label": "CSGM", "steps": 3},
    "iagan": {"name": "iagan", "label": "IAGAN", "start": "csgm", "steps": 3},
    "dip": {"name": "dip", "label": "DIP", "steps": 3, "channels": 16},
}
STAGES = ("prepare", "observe", "reconstruct", "evaluate", "aggregate", "table", "figure", "report")
ASKED = "asked: "
MOST_MADE = 10_000
"""Jobs for which results are made as empty files."""
Points = dict[int, float]
"""A line of the picture: size -> cost."""
Lookup = tuple[Callable[..., Any], dict[str, Any]]
"""A function of a rule, and the arguments that it takes besides the wildcards."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1, 10, 100, 1_000, 10_000])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    images = images_panel(options.images)
    print(markdown("images, ms per image", images, 3), flush=True)
    planning = jobs_panel(options.jobs)
    print(markdown("jobs, ms per job", planning, 4), flush=True)
    memory = memory_panel(options.batches)
    print(markdown("images in a job, MiB", memory, 0), flush=True)
    print("| method | MiB without images | MiB per image | farthest from the line [MiB] |\n|---|---|---|---|")
    for method in METHODS:
        print(f"| {method} | {' | '.join(f'{number:.1f}' for number in fitted(memory[method]))} |")
    draw(options.out, images, planning, memory)


# The study


def project(
    folder: Path, images: int, *, cases: int = 1, methods: Iterable[str] = ("csgm",), per_job: int = 20
) -> dict:
    """Make a project with this study in an empty folder; return its config.

    All but the studies are links to the real files, so that Snakemake and the rules' functions run as they are.
    """
    for name in ("Snakefile", "workflow", "benchmarks", "config.yaml", "recipes", "scales"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "studies/growth/study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(study(images, cases, list(methods))), encoding="utf-8")
    path.with_name("reported.csv").write_text("artifact,case,method,metric,value,note\n")
    places = {"data": f"{folder}/data", "results": f"{folder}/results"}
    return {"scale": "full", "studies": ["growth"], "images_per_job": per_job, "device": "cpu", **places}


def study(images: int, cases: int, methods: Sequence[str]) -> dict[str, Any]:
    """The content of study.yaml. The cases differ in their noise."""
    case = {"images": "faces", "generator": "began", "operator": {"name": "bicubic", "scale": 4}}
    named = {f"case-{i}": {"label": f"Case {i}", "noise": 0.01 + 1e-5 * i, **case} for i in range(cases)}
    shown: dict[str, Any] = {"title": "Growth", "cases": [*named], "methods": [*methods]}
    return {
        "title": "Growth",
        "images": {"faces": {"dataset": {"name": "faces-drawn"}, "count": images}},
        "generators": {"began": {"name": "began", "size": 64, "channels": 32, "latent": 64, "weights": str(WEIGHTS)}},
        "methods": {method: METHODS[method] for method in methods},
        "metrics": [{"name": "mse"}, {"name": "psnr"}, {"name": "ssim"}],
        "cases": {name: {**case, "methods": dict.fromkeys(methods)} for name, case in named.items()},
        "artifacts": {
            "table": {"kind": "table", "metrics": ["psnr", "ssim"], **shown},
            "figure": {"kind": "grid", **shown},
        },
    }


# Cost per image


def images_panel(sizes: Sequence[int]) -> dict[str, Points]:
    """ms per image of each stage, by number of images. Small numbers are repeated, and the median is taken."""
    import torch

    torch.set_num_threads(1)
    stage_seconds(1)  # imports, and the fonts of matplotlib
    lines: dict[str, Points] = {stage: {} for stage in STAGES}
    for size in sizes:
        repeats = [stage_seconds(size) for _ in range(5 if size < 1000 else 1)]
        for stage, line in lines.items():
            line[size] = 1e3 * statistics.median(seconds[stage] for seconds in repeats) / size
    return lines


def stage_seconds(images: int) -> dict[str, float]:
    """CPU seconds that each stage takes for all images, batch by batch, with the arguments that the rules give it."""
    seconds = dict.fromkeys(STAGES, 0.0)
    with tempfile.TemporaryDirectory() as name:
        plan = make_plan(Path(name), project(Path(name), images))
        for stage, work in calls(plan):
            seconds[stage] += spent(work)
    return seconds


def calls(plan: Plan) -> Iterator[tuple[str, Callable[[], object]]]:
    """The stage's name and the call of each job of the study, in an order in which they can be run."""
    from reprior.render.artifact import render
    from reprior.render.report import build
    from reprior.stages.aggregate import aggregate

    found = plan.studies["growth"]
    for case in found.cases.values():
        for batch in case.images.batches:
            yield from batch_calls(plan, case, batch)
    numbers = [case.folder / "csgm" / f"{batch}.csv" for case in found.cases.values() for batch in case.images.batches]
    yield "aggregate", lambda: aggregate(numbers, found.folder / "metrics.csv")
    for name in found.artifacts:
        spec = render_spec(plan, found.name, name)
        yield name, lambda spec=spec: render(spec, found.reported, found.folder / spec["artifact"])  # type: ignore[misc]
    sidecars = [found.folder / f"{name}.json" for name in found.artifacts]
    yield "report", lambda: build(sidecars, found.folder / "report.html", "snakemake")


def batch_calls(plan: Plan, case: CasePlan, batch: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The calls that make the numbers of one batch."""
    from reprior.stages.evaluate import evaluate
    from reprior.stages.observe import observe
    from reprior.stages.prepare import prepare
    from reprior.stages.reconstruct import reconstruct

    folders = (case.images.folder, case.folder / OBSERVATION, case.folder / "csgm")
    truth, observation, made = (folder / f"{batch}.safetensors" for folder in folders)
    cell, metrics = case.cells["csgm"], plan.studies[case.study].metrics
    generator = plan.trained(case, cell)["generator"]
    asked = {"study": case.study, "case": case.name, "operator": case.operator, **case.measured_noise}
    yield "prepare", lambda: prepare(case.images.selection(batch), plan.raw, truth)
    yield "observe", lambda: observe(truth, asked, observation)
    yield "reconstruct", lambda: reconstruct(observation, cell.spec, made, label="csgm", generator=generator)
    yield "evaluate", lambda: evaluate(made, truth, metrics, plan.raw, made.with_suffix(".csv"))


# Planning


def jobs_panel(sizes: Sequence[int]) -> dict[str, Points]:
    """ms per job of our plan and of Snakemake, by number of jobs. Jobs grow with images or with cases."""
    lines: dict[str, Points] = {}
    for size in sizes:
        for grown, images, cases in (("images", round(size / 15), 2), ("cases", 1, round(size / 7))):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                config = project(folder, images, cases=cases, methods=METHODS, per_job=1)
                count, seconds = planning_seconds(folder, config)
                seconds = {f"{part} ({grown})": each for part, each in seconds.items()}
                if grown == "images":
                    seconds["snakemake -n"] = dry_run(folder)[1]
                    seconds |= {"nothing to do": nothing_to_do(folder)} if size <= MOST_MADE else {}
            for part, each in seconds.items():
                lines.setdefault(part, {})[count] = 1e3 * each / count
    return lines


def planning_seconds(folder: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """The number of jobs, and the CPU seconds of making the plan and of what the rules look up in it for every job."""
    plan, rules = loaded(folder, config)
    wanted = list(job_wildcards(plan))
    look_up(rules, dict(wanted).items())  # reads the code of each kind of job once
    count = jobs(plan).total()
    repeats = 5 if count < 5_000 else 1
    parts = {"plan": lambda: make_plan(folder, config), "lookups": lambda: look_up(rules, wanted)}
    return count, {name: statistics.median(spent(work) for _ in range(repeats)) for name, work in parts.items()}


def spent(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def loaded(folder: Path, config: Mapping[str, Any]) -> tuple[Plan, dict[str, list[Lookup]]]:
    """The plan of the Snakefile in `folder`, and the functions of each rule: of inputs, params, resources, priority.

    They are valid until the next call: Snakemake keeps what a Snakefile defines, such as PLAN, in globals.
    """
    from snakemake.api import SnakemakeApi  # type: ignore[import-untyped]
    from snakemake.settings import types as settings  # type: ignore[import-untyped]

    with SnakemakeApi(settings.OutputSettings(quiet={settings.Quietness.ALL})) as api:
        flow = api.workflow(
            resource_settings=settings.ResourceSettings(cores=1),
            config_settings=settings.ConfigSettings(config=dict(config)),
            snakefile=folder / "Snakefile",
            workdir=folder,
        )._workflow
        plan = flow.globals["PLAN"]
        return plan, {rule.name: list(_lookups(rule, plan)) for rule in flow.rules}


def _lookups(rule: Any, plan: Plan) -> Iterator[Lookup]:
    """Those functions of a rule that are written in our rules, with the arguments that they take besides wildcards."""
    for given in (*rule.input, *rule.params, *rule.resources.values(), rule.priority):
        wrapped = getattr(given, "_file", getattr(given, "_evaluator", given))  # of an input, or of a resource
        function = getattr(wrapped, "callable", wrapped)
        if getattr(function, "__globals__", {}).get("PLAN") is plan:
            others = {"attempt": 1, "output": ["out.json"]}
            yield function, {name: others[name] for name in inspect.signature(function).parameters if name in others}


class Wildcards(dict[str, str]):
    """As Snakemake gives them to a rule's functions: `wildcards.batch`."""

    __getattr__ = dict.__getitem__


def job_wildcards(plan: Plan) -> Iterator[tuple[str, Wildcards]]:
    """Rule and wildcards of each job, but of those that a plan has once."""
    for images in image_sets(plan):
        for batch in images.batches:
            yield "prepare", Wildcards(study=images.study, images=images.name, batch=batch)
    for study in plan.studies.values():
        yield "aggregate_study", Wildcards(study=study.name)
        for name, artifact in study.artifacts.items():
            yield f"render_{artifact.kind}", Wildcards(study=study.name, artifact=name)
        for case in study.cases.values():
            for batch in case.images.batches:
                yield "observe", Wildcards(study=study.name, case=case.name, batch=batch)
                for method in case.cells:
                    wildcards = Wildcards(study=study.name, case=case.name, method=method, batch=batch)
                    yield from (("reconstruct", wildcards), ("evaluate", wildcards))


def look_up(rules: Mapping[str, Sequence[Lookup]], wanted: Iterable[tuple[str, Wildcards]]) -> int:
    """Call what the rules call for these jobs; return the number of calls."""
    calls = 0
    for rule, wildcards in wanted:
        for function, others in rules[rule]:
            function(wildcards, **others)
            calls += 1
    return calls


def dry_run(folder: Path) -> tuple[int, float]:
    """Number of jobs and CPU seconds of Snakemake's dry run without any results."""
    output, seconds = snakemake(folder, "-n", "--quiet", "rules")
    return int(re.findall(r"^total +(\d+)$", output, re.MULTILINE)[0]), seconds


def nothing_to_do(folder: Path) -> float:
    """CPU seconds of a run when everything has been made and recorded. The results are empty files."""
    output, _ = snakemake(folder, "-n")
    for line in re.findall(r"^    output: (.*)$", output, re.MULTILINE):
        for name in line.split(", "):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    snakemake(folder, "--touch", "--quiet", "all")
    output, seconds = snakemake(folder)
    if "Nothing to be done" not in output:
        raise RuntimeError(f"there was something to do:\n{output[-2000:]}")
    return seconds


def snakemake(folder: Path, *arguments: str) -> tuple[str, float]:
    """Snakemake's output and CPU seconds for the project in `folder`."""
    config = ["--config", "scale=full", "studies=growth", "images_per_job=1", "device=cpu"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, *config]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout + done.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Memory


def memory_panel(sizes: Sequence[int]) -> dict[str, Points]:
    """MiB by images in a job, for each method: the peak of the job's process, and what the plan asks for."""
    lines: dict[str, Points] = {name: {} for name in (*METHODS, *(f"{ASKED}{method}" for method in METHODS))}
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            plan = make_plan(Path(name), project(Path(name), size, methods=METHODS, per_job=size))
            case = plan.studies["growth"].cases["case-0"]
            for method, peak in peaks(plan, case).items():
                lines[method][size] = peak
                lines[f"{ASKED}{method}"][size] = memory_mb(plan, case, case.cells[method], case.images.batches[0])
    return lines


def peaks(plan: Plan, case: CasePlan) -> dict[str, float]:
    """The peak memory in MiB of each method's job on the case's only batch. Each job is a process, as on a cluster."""
    (batch,) = case.images.batches
    for stage, work in batch_calls(plan, case, batch):
        if stage in ("prepare", "observe"):
            work()
    return {method: _peak(plan, case, method, f"{batch}.safetensors") for method in case.cells}


def _peak(plan: Plan, case: CasePlan, method: str, file: str) -> float:
    cell, out = case.cells[method], case.folder / method / file
    begun = {need: case.folder / start.method / file for need, start in cell.starts.items()}
    given = {
        "--method": cell.spec,
        "--generator": plan.trained(case, cell).get("generator"),
        "--starts": {need: {"file": path.as_posix(), "step": None} for need, path in begun.items()},
    }
    command = [sys.executable, "-m", "reprior", "reconstruct", f"{case.folder / OBSERVATION / file}", "--label", method]
    command += ["--device", "cpu", "--out", f"{out}"]
    command += [text for option, content in given.items() for text in (option, as_json(content))]
    # Through a shell that waits, as in the workflow: what a process starts directly inherits its peak memory.
    waiting = f"{shlex.join(command)} || exit 1"
    subprocess.run(waiting, shell=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    return float(json.loads(out.with_suffix(".json").read_text())["peak_memory_mib"])


def fitted(line: Points) -> tuple[float, float, float]:
    """The straight line through the points: its value at 0, its slope, and the largest distance of a point to it."""
    import numpy as np

    sizes, costs = np.array([*line]), np.array([*line.values()])
    slope, base = np.polyfit(sizes, costs, 1)
    return float(base), float(slope), float(abs(base + slope * sizes - costs).max())


# What is printed and drawn


def markdown(size: str, lines: Mapping[str, Points], digits: int) -> str:
    """A table with one row per size and one column per line; a cell without a number is empty."""
    sizes = sorted({size for line in lines.values() for size in line})
    head = f"| {size} | {' | '.join(lines)} |\n|{'---|' * (len(lines) + 1)}\n"
    cells = ([f"{line[n]:,.{digits}f}" if n in line else "" for line in lines.values()] for n in sizes)
    return head + "".join(f"| {n:,} | {' | '.join(row)} |\n" for n, row in zip(sizes, cells, strict=True))


def draw(path: Path, images: dict[str, Points], planning: dict[str, Points], memory: dict[str, Points]) -> None:
    """One panel for each kind of growth. Memory has plain axes, where a base and so much per image are straight."""
    from matplotlib import pyplot

    from reprior.render import style

    figure = style.new_figure(1.5 * style.WIDTH, 3.3)
    panels = figure.subplots(1, 3)
    figure.subplots_adjust(wspace=0.8, left=0.055, right=0.9, bottom=0.15, top=0.9)
    said = (
        ("Time per image", "images", "ms per image, one CPU thread", images),
        ("Planning time per job", "jobs", "ms per job, one CPU thread", planning),
        ("Memory of a reconstruction", "images in a job", "peak memory of the process [MiB]", memory),
    )
    for axes, (title, across, up, lines) in zip(panels, said, strict=True):
        axes.set_title(title, loc="left", weight="bold")
        axes.set(xlabel=across, ylabel=up)
        if lines is not memory:
            axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:,g}")
        _draw_lines(axes, lines)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)


def _draw_lines(axes: Axes, lines: dict[str, Points]) -> None:
    """Every line with its name at its right end, in its colour. Lines of what is asked for are grey and dashed."""
    from reprior.render import style

    looks = style.method_styles([name for name in lines if not name.startswith(ASKED)])
    for name, line in lines.items():
        colour, marker = looks.get(name, (style.GREY, ""))
        dashes = "-" if marker else "--"
        axes.plot([*line], [*line.values()], dashes, color=colour, marker=marker, label=_label(name))
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    _name_lines(axes)


def _label(name: str) -> str:
    """A line's name as it is shown."""
    method = name.removeprefix(ASKED)
    return name.replace(method, METHODS[method]["label"]) if method in METHODS else name


def _name_lines(axes: Axes, apart: float = 0.055) -> None:
    """Write each line's name beside its end, and move names so that they are `apart` (in heights of the axes)."""
    from reprior.render import style

    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    lines: list[Any] = [*axes.get_lines()]
    ends = {line: line.get_xydata()[-1] for line in lines}
    heights = {line: float(to_axes.transform(end)[1]) for line, end in ends.items()}
    order = sorted(heights, key=heights.__getitem__)
    for line, height in zip(order, spread([heights[line] for line in order], apart), strict=True):
        colour = line.get_color()
        thin = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
        place: Any = {"xytext": (1.06, height), "textcoords": "axes fraction", "va": "center", "size": style.SMALL}
        axes.annotate(line.get_label(), ends[line], color=colour, arrowprops=thin, annotation_clip=False, **place)


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Rising heights, moved as little as needed to be `apart`: groups that are too close are centred on their mean."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _places(groups[-2], apart)[-1] + apart > _places(groups[-1], apart)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in _places(group, apart)]


def _places(group: Sequence[float], apart: float) -> list[float]:
    lowest = statistics.mean(group) - apart * (len(group) - 1) / 2
    return [lowest + apart * i for i in range(len(group))]


if __name__ == "__main__":
    main()
