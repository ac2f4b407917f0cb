"""The types of a plan: every cell, batch, file and setting of a run. Nothing here imports torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reprior.losses import DEFAULT
from reprior.metrics import metric_id
from reprior.planning import plugins
from reprior.planning.matrices import Matrix
from reprior.planning.study import Config, ImageSet, Scale, Spec
from reprior.planning.weights import Weights

OBSERVATION = "observation"
"""Folder of a case's observations, next to the folders of its methods."""


@dataclass(frozen=True)
class ImagePlan:
    """One set of images, cut into batches."""

    study: str
    name: str
    spec: ImageSet
    folder: Path
    sources: tuple[str, ...]
    """Names of the downloads that the data set reads."""
    per_job: int

    @property
    def batches(self) -> tuple[str, ...]:
        """Names of the batches: the range of images in each. So whole batches keep their names if images are added."""
        size = self.spec.size
        return tuple(batch_name(first, min(first + self.per_job, size) - 1) for first in range(0, size, self.per_job))

    def selection(self, batch: str) -> dict[str, Any]:
        """The argument of `reprior prepare` for one batch."""
        first, last = batch_range(batch)
        if self.spec.ids:
            chosen: dict[str, Any] = {"ids": self.spec.ids[first : last + 1]}
        else:
            seed = {} if self.spec.seed is None else {"seed": self.spec.seed}
            chosen = {"first": self.spec.first + first, **seed}
        return {"dataset": self.spec.dataset, "shift": self.spec.shift, "count": last - first + 1, **chosen}


@dataclass(frozen=True)
class Start:
    """What a method starts from: another method's result, or that method's state after `step` steps."""

    method: str
    step: int | None = None


@dataclass(frozen=True)
class Cell:
    """One method on one case."""

    method: str
    spec: Spec
    """The plug-in's name and every setting."""
    starts: Mapping[str, Start]
    """What this cell starts from, by name of the plug-in's argument."""
    generator: str | None
    networks: Mapping[str, str] = field(default_factory=dict)
    """Other trained networks: name of the plug-in's argument -> the study's name of the network."""
    marks: tuple[int, ...] = ()
    """The steps from which other methods start. The states after them are saved."""

    @property
    def losses(self) -> Sequence[Mapping[str, Any]]:
        """The losses it minimises; none if it takes no steps."""
        return self.spec.get("loss", DEFAULT) if self.iterates else ()

    @property
    def iterates(self) -> bool:
        """Whether the method takes steps."""
        return "steps" in self.spec

    @property
    def takes_long(self) -> bool:
        """Whether the rule `reconstruct` runs it, on a GPU if there is one, or else `reconstruct_direct`.

        So do methods with steps, and those with the constant `TAKES_LONG` in their module.
        """
        return self.iterates or bool(plugins.plugin("method", self.spec["name"]).constants.get("TAKES_LONG"))


@dataclass(frozen=True)
class CasePlan:
    """One inverse problem with everything resolved."""

    study: str
    name: str
    label: str
    images: ImagePlan
    operator: Spec
    noise: float
    noise_norm: float | None
    clip: bool
    generator: str | None
    cells: Mapping[str, Cell]
    """The cells to compute, by method."""
    cell_gaps: Mapping[str, str]
    """Why the other methods of the case are not computed."""
    gap: str | None
    folder: Path
    matrix: Matrix | None = None
    """The matrix of its operator, if it is designed for the generator."""

    @property
    def measured_noise(self) -> dict[str, float | bool]:
        """The noise as it is passed to jobs. Only clipped noise has a `clip`."""
        noise = {"noise_norm": self.noise_norm} if self.noise_norm else {"noise": self.noise}
        return {**noise, "clip": True} if self.clip else {**noise}


@dataclass(frozen=True)
class Artifact:
    """One table or figure."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    suffixes: tuple[str, ...]
    reads: str


@dataclass(frozen=True)
class StudyPlan:
    """One study at one scale."""

    name: str
    title: str
    note: str
    """Shown with every artifact: the scale, and what it cuts in this study."""
    folder: Path
    reported: Path
    generators: Mapping[str, Spec]
    networks: Mapping[str, Spec]
    labels: Mapping[str, str]
    metrics: tuple[Spec, ...]
    images: Mapping[str, ImagePlan]
    cases: Mapping[str, CasePlan]
    artifacts: Mapping[str, Artifact]


@dataclass(frozen=True)
class Plan:
    """Everything that a run makes."""

    config: Config
    scale: Scale
    studies: Mapping[str, StudyPlan]
    weights: Mapping[str, Weights]
    """All weights that can be converted or trained, by name."""
    metric_gaps: Mapping[str, str] = field(default_factory=dict)
    """Metrics that are not computed, with the reason."""
    root: Path = Path()
    """The folder of Snakefile, studies and scales."""

    @property
    def raw(self) -> Path:
        """data/raw: the folder of downloads."""
        return Path(self.config.data) / "raw"

    @property
    def downloads(self) -> tuple[str, ...]:
        """Names of all downloads that the plan needs."""
        needed: set[str] = set()
        for study in self.studies.values():
            needed.update(*(plugins.sources("metric", spec) for spec in self.computed_metrics(study)))
        for case, cell in self.cells():
            needed.update(case.images.sources, self.cell_sources(cell))
        for spec in self.networks():
            made = self.made_weights(spec)
            needed.update(self.downloads_of(made.name) if made else ())
        return tuple(sorted(needed))

    def trained(self, case: CasePlan, cell: Cell) -> dict[str, Spec]:
        """The generator and the other trained networks of a cell, by the method's argument."""
        study = self.studies[case.study]
        generator = {"generator": study.generators[cell.generator]} if cell.generator else {}
        return generator | {need: study.networks[name] for need, name in cell.networks.items()}

    def networks(self) -> Iterator[Spec]:
        """Every trained network that computed cells and matrices need, with repetitions."""
        for case, cell in self.cells():
            yield from self.trained(case, cell).values()
        yield from (matrix.generator for matrix in self.matrices.values())

    @property
    def matrices(self) -> dict[str, Matrix]:
        """The matrices of computed cases that are designed for a generator, by file."""
        cases = (case for case, _ in self.cells())
        return {case.matrix.file: case.matrix for case in cases if case.matrix}

    def cell_sources(self, cell: Cell) -> list[str]:
        """Names of the downloads that a cell's method and losses read."""
        of_losses = [name for spec in cell.losses for name in plugins.sources("loss", spec)]
        return [*plugins.sources("method", cell.spec), *of_losses]

    def downloads_of(self, weights: str) -> set[str]:
        """Names of the downloads that weights are made from, including those of generators they are trained against."""
        made = self.weights[weights]
        return {*made.downloads}.union(*(self.downloads_of(name) for name in made.against.values()))

    def weights_file(self, name: str) -> str:
        """The file of weights of this name."""
        return (Path(self.config.data) / "weights" / f"{name}.safetensors").as_posix()

    def trained_against(self, weights: str) -> dict[str, Spec]:
        """The frozen generators that a training needs, with their weight files."""
        against = self.weights[weights].against
        return {
            need: {**self.weights[name].generator, "weights": self.weights_file(name)} for need, name in against.items()
        }

    def made_weights(self, network: Spec) -> Weights | None:
        """How a network's weights are made; None if they are the user's own file."""
        file = Path(network["weights"])
        return self.weights.get(file.stem) if file.parent == Path(self.config.data) / "weights" else None

    def computed_metrics(self, study: StudyPlan) -> list[Spec]:
        """The metrics of a study, without gaps."""
        return [spec for spec in study.metrics if metric_id(spec) not in self.metric_gaps]

    def metrics_of(self, study: StudyPlan, cell: Cell) -> list[Spec]:
        """The metrics of a cell: none if its method restores nothing, as the constant `RESTORES` of its module says."""
        restores = plugins.plugin("method", cell.spec["name"]).constants.get("RESTORES", True)
        return self.computed_metrics(study) if restores else []

    @property
    def folder(self) -> Path:
        """results/<scale>"""
        return Path(self.config.results) / self.config.scale

    @property
    def on_gpu(self) -> bool:
        """Whether jobs will run on an accelerator of this machine, found without importing torch."""
        device = self.config.device
        return device in ("cuda", "mps") or (device == "auto" and Path("/dev/nvidiactl").exists())

    def cells(self) -> Iterator[tuple[CasePlan, Cell]]:
        """Every cell to compute, without gaps."""
        for study in self.studies.values():
            for case in study.cases.values():
                if case.gap is None:
                    yield from ((case, cell) for cell in case.cells.values())


def render_spec(plan: Plan, study_name: str, artifact_name: str) -> dict[str, Any]:
    """The argument of `reprior render` for one artifact."""
    study = plan.studies[study_name]
    artifact = study.artifacts[artifact_name]
    cases = [study.cases[name] for name in artifact.settings["cases"]]
    methods, metrics = artifact.settings.get("methods", ()), map(metric_id, study.metrics)
    own = sorted({spec["name"] for spec in study.metrics}.difference(plugins.package_names("metric")))
    return {
        "study": study.name,
        "study_title": study.title,
        "artifact": artifact.name,
        "kind": artifact.kind,
        "scale": plan.config.scale,
        "scale_title": plan.scale.title,
        "comparable": plan.scale.comparable,
        "note": study.note,
        "settings": artifact.settings,
        "methods": {method: {"label": study.labels[method]} for method in methods},
        "cases": {case.name: _case_spec(case, methods) for case in cases},
        "metric_gaps": {name: plan.metric_gaps[name] for name in metrics if name in plan.metric_gaps},
        "folder": study.folder.as_posix(),
        **({"own_metrics": own} if own else {}),  # without the key, the jobs of other studies stay as they are
    }


def _case_spec(case: CasePlan, methods: Sequence[str]) -> dict[str, Any]:
    cells = {name: cell for name, cell in case.cells.items() if name in methods}
    return {
        "label": case.label,
        "dataset": case.images.spec.dataset["name"],
        "generator": case.generator,
        "operator": case.operator,
        **case.measured_noise,
        "gap": case.gap,
        "gaps": {name: reason for name, reason in case.cell_gaps.items() if name in methods},
        "count": case.images.spec.size,
        "batches": case.images.batches,
        "images": [(case.images.folder / f"{batch}.safetensors").as_posix() for batch in case.images.batches],
        "methods": {name: {"plugin": cell.spec["name"], "settings": cell.spec} for name, cell in cells.items()},
    }


def batch_name(first: int, last: int) -> str:
    """`0000-0019`: the positions of a batch's images in their set."""
    return f"{first:04d}-{last:04d}"


def batch_range(batch: str) -> tuple[int, int]:
    """First and last position of a batch."""
    first, last = batch.split("-")
    return int(first), int(last)


def as_json(content: Any) -> str:
    """JSON with sorted keys, so that equal settings are equal strings. Snakemake compares these strings."""
    return json.dumps(content, sort_keys=True)
