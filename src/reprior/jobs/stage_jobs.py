"""What each stage's job reads, makes and runs. The rules use it to plan a job, and the CLI to run it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from reprior.jobs.code_fingerprint import code_fingerprint, outside_files
from reprior.jobs.job import Job
from reprior.loading import Kind, module_name
from reprior.losses import DEFAULT
from reprior.planning import plugin_folders, plugins
from reprior.planning.matrices import MATRIX, design_settings

Spec = Mapping[str, Any]
_ENTRIES = {
    "acquire": "reprior.acquire.fetch",
    "render": "reprior.render.artifact",
    "report": "reprior.render.report",
    "crate": "reprior.provenance.crate",
}


def modules(stage: str, **specs: Spec | Sequence[Spec] | None) -> tuple[str, ...]:
    """The modules where the code of a stage starts: its own, and those of its plug-ins, which are given by kind."""
    found = [_ENTRIES.get(stage, f"reprior.stages.{stage}")]
    for kind, given in specs.items():
        listed = [given] if isinstance(given, Mapping) else given or ()
        found += [module_name(cast(Kind, kind), spec["name"]) for spec in listed]
    if stage in ("render", "report"):  # they ask every metric how it is shown
        shown = plugins.package_names("metric") if stage == "render" else plugins.names("metric")
        found += [module_name("metric", name) for name in shown]
    return tuple(found)


def render_modules(spec: Spec) -> tuple[str, ...]:
    """As `modules`, for a table or figure. Of the user's own metrics, only those of its study."""
    named = [{"name": name} for name in spec.get("own_metrics", ())]
    return modules("render", artifact={"name": spec["kind"]}, metric=named)


def training_modules(network: Spec, dataset: Spec, recipe: Spec, against: Mapping[str, Spec]) -> tuple[str, ...]:
    """As `modules`, for a training: its task, network, frozen generators, data set and, for a GAN, its objective."""
    task = {"name": recipe.get("task", "gan")}
    kind = plugins.plugin("task", task["name"]).constants["TRAINS"]
    objective = {"name": recipe.get("objective", "logistic")}
    named: dict[str, list[Spec]] = {"dataset": [dataset], "task": [task], "generator": [*against.values()]}
    named["objective"] = [objective] if task["name"] == "gan" else []
    named[kind] = [*named.get(kind, []), network]
    return modules("train", **named)


def code_argument(modules: Sequence[str]) -> str:
    """What a command says after `--code`: the hash, and the user's folders if the job runs code from them.

    It is one of the job's params. So folders that a job does not use rerun nothing.
    """
    files = outside_files(*modules)
    folders = [folder for folder in plugin_folders.used() if any(file.is_relative_to(folder) for file in files)]
    option = ["--plugins", *(shlex.quote(folder.as_posix()) for folder in folders)] if folders else []
    return " ".join([code_fingerprint(*modules), *option])


def acquire(path: Path, **_: Any) -> Job:
    """One download."""
    return Job("acquire", (path,), modules=modules("acquire"))


def convert(checkpoint: Path, generator: Spec, layout: str, out: Path) -> Job:
    """One file of weights, from a download."""
    settings = {"generator": generator, "layout": layout}
    return Job("convert", (out,), (checkpoint,), settings, modules("convert", generator=generator))


def train(
    weights: Path, network: Spec, against: Mapping[str, Spec], dataset: Spec, recipe: Spec, raw: Path, **_: Any
) -> Job:
    """One file of weights, from images."""
    beside = [
        weights.with_name(f"{weights.stem}{suffix}") for suffix in (".json", ".png", "-losses.png", "-progress.png")
    ]
    settings = {"network": network, "against": against, "dataset": dataset, "recipe": recipe}
    inputs = (*_downloads("dataset", [dataset], raw), *(Path(spec["weights"]) for spec in against.values()))
    return Job("train", (weights, *beside), inputs, settings, training_modules(network, dataset, recipe, against))


def design(operator: Spec, generator: Spec, out: Path, **_: Any) -> Job:
    """The matrix of one operator for one generator."""
    settings = {"operator": operator, "generator": generator}
    return Job("design", (out,), (Path(generator["weights"]),), settings, modules("design", **settings))


def prepare(selection: Spec, raw: Path, out: Path) -> Job:
    """One batch of images."""
    dataset = selection["dataset"]
    settings = {"selection": selection}
    return Job("prepare", (out,), _downloads("dataset", [dataset], raw), settings, modules("prepare", dataset=dataset))


def observe(images: Path, case: Spec, out: Path) -> Job:
    """One batch of observations."""
    operator = case["operator"]
    return Job("observe", (out,), (images, *_matrix(operator)), {"case": case}, modules("observe", operator=operator))


def reconstruct(
    observation: Path,
    label: str,
    method: Spec,
    generator: Spec | None,
    networks: Mapping[str, Spec],
    starts: Mapping[str, Spec],
    marks: Sequence[int],
    raw: Path,
    out: Path,
    **_: Any,
) -> Job:
    """One method on one batch."""
    from reprior.machine.files import read_meta

    losses = method.get("loss", DEFAULT) if "steps" in method else ()
    weights = [Path(spec["weights"]) for spec in (generator, *networks.values()) if spec]
    downloads = (*_downloads("method", [method], raw), *_downloads("loss", losses, raw))
    operator = read_meta(observation)["operator"]
    begun = (Path(start["file"]) for start in starts.values())
    inputs = (observation, *begun, *_matrix(operator), *weights, *downloads)
    needed = {"generator": generator, "networks": networks, "starts": starts}
    settings = {"label": label, "method": method, **needed, "marks": marks}
    plugged = {"method": method, "operator": operator, "generator": generator}
    return Job(
        "reconstruct",
        (out, out.with_suffix(".json")),
        inputs,
        settings,
        modules("reconstruct", **plugged, network=[*networks.values()], loss=losses),
    )


def evaluate(estimate: Path, images: Path, metrics: Sequence[Spec], raw: Path, out: Path) -> Job:
    """The numbers of one method on one batch."""
    inputs = (estimate, estimate.with_suffix(".json"), images, *_downloads("metric", metrics, raw))
    return Job("evaluate", (out,), inputs, {"metrics": metrics}, modules("evaluate", metric=metrics))


def aggregate(parts: Sequence[Path], out: Path) -> Job:
    """Many tables of numbers, joined into one."""
    return Job("aggregate", (out,), tuple(parts), modules=modules("aggregate"))


def render(spec: Spec, reported: Path, out: Path) -> Job:
    """One table or figure."""
    suffixes = plugins.plugin("artifact", spec["kind"]).constants["SUFFIXES"]
    outputs = tuple(out.with_name(f"{out.name}{suffix}") for suffix in (".json", *suffixes))
    inputs = (*render_inputs(spec), *([reported] if reported.exists() else []))
    return Job("render", outputs, inputs, {"spec": spec}, render_modules(spec))


def render_inputs(spec: Spec) -> list[Path]:
    """What a table or figure is made from: the numbers of its cells and, if it shows pictures, their images."""
    pictures = plugins.plugin("artifact", spec["kind"]).constants["READS"] == "images"
    suffixes = (".csv", ".json", ".safetensors") if pictures else (".csv", ".json")
    folder, found = Path(spec["folder"]), []
    for name, case in spec["cases"].items():
        if case["gap"] is not None:
            continue
        stems = [folder / name / method / batch for method in case["methods"] for batch in case["batches"]]
        found += [stem.with_name(f"{stem.name}{suffix}") for stem in stems for suffix in suffixes]
        if pictures:
            found += [folder / name / "observation" / f"{batch}.safetensors" for batch in case["batches"]]
            found += map(Path, case["images"])
    return found


def report(sidecars: Sequence[Path], out: Path, **settings: Any) -> Job:
    """The report."""
    return Job("report", (out,), tuple(sidecars), settings, modules("report"))


def crate(results: Sequence[Path], workflow: Sequence[Path], root: Path, out: Path, **_: Any) -> Job:
    """The RO-Crate."""
    from reprior.provenance.crate import copies

    outputs = (out, *copies(workflow, root, out).values())
    return Job("crate", outputs, (*results, *workflow), modules=modules("crate"))


def _matrix(operator: Spec) -> tuple[Path, ...]:
    """The file of the matrix of an operator that is designed for a generator; none for other operators."""
    return (Path(operator[MATRIX]),) if operator.get(MATRIX) and design_settings(operator) else ()


def _downloads(kind: Kind, specs: Iterable[Spec], raw: Path) -> tuple[Path, ...]:
    return tuple(raw / name for spec in specs for name in plugins.sources(kind, spec))
