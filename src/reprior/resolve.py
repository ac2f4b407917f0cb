"""Makes the plan: the user's files, checked, with every setting of every cell filled in. Nothing here imports torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reprior import plugins
from reprior.claims import CLAIMS, claims_artifact
from reprior.errors import UserError
from reprior.metrics import metric_id
from reprior.plan import OBSERVATION, Artifact, CasePlan, Cell, ImagePlan, Plan, Start, StudyPlan
from reprior.study import (
    Case,
    Config,
    Gap,
    ImageSet,
    Scale,
    Spec,
    Study,
    Substitute,
    checked_spec,
    load_scale,
    load_study,
    nearest,
    parse,
    reference,
)
from reprior.weights import Weights, known_weights, matching

RESERVED = {OBSERVATION, "original"}
IMAGES_PER_JOB = 20
"""Images in one job where neither the user nor the generator's module says how many."""


def make_plan(root: Path, config: Mapping[str, Any]) -> Plan:
    """Read and check the study and scale files that `config` names; UserError if anything is wrong."""
    checked = parse(Config, config, root / "config.yaml")
    _check_images_per_job(checked, root / "config.yaml")
    scale, scale_path = load_scale(root, checked.scale)
    if checked.whole:
        scale = _whole(scale)
    _check_scale(scale, scale_path)
    weights = known_weights(root)
    resolvers = (_Resolver(root, checked, scale, scale_path, weights, name) for name in checked.studies)
    studies = {resolver.name: resolver.study_plan() for resolver in resolvers}
    return Plan(checked, scale, studies, weights, _metric_gaps(scale, studies), root)


def _check_images_per_job(config: Config, path: Path) -> None:
    for generator, numbers in config.images_per_job.items():
        key = f"images_per_job.{generator}"
        if generator:
            reference(generator, plugins.names("generator"), path, "images_per_job", "generator")
        devices = list(filter(None, numbers))
        for device in devices:
            reference(device, ("cpu", "cuda", "mps"), path, key, "device")
        if devices and config.device == "auto":
            raise UserError(
                f"{path}: {key}: a number for each device needs to know which, and device is 'auto'; set device to"
                " cpu, cuda or mps, so that a plan has the same batches wherever it is made"
            )


def _images_per_job(config: Config, generator: str | None) -> int:
    """Images in one job of a generator's cases; the device at hand does not count, as it would rename batches."""
    constants = plugins.plugin("generator", generator).constants if generator else {}
    numbers = config.images_per_job.get(generator or "", config.images_per_job.get("", {}))
    return numbers.get(config.device, numbers.get("", constants.get("IMAGES_PER_JOB", IMAGES_PER_JOB)))


def _whole(scale: Scale) -> Scale:
    """The scale with nothing cut: every image that there is, the study's own steps."""
    datasets = {name: s.model_copy(update={"count": s.of or s.count}) for name, s in scale.datasets.items()}
    return scale.model_copy(update={"datasets": datasets, "steps": {}, "study_steps": {}})


def _note(scale: Scale, name: str, study: Study, shares: Mapping[str, float]) -> str:
    """The scale's note and what it cuts of a study: `8 of 64 images; share of the steps: csgm 0.25`."""
    used = (scale.datasets.get(str(images.dataset.get("name"))) for images in study.images.values())
    cut = [s for s in used if s and s.count and s.count != s.of]
    images = dict.fromkeys(f"{s.count}{f' of {s.of}' if s.of else ''} images" for s in cut)
    given = scale.study_steps.get(name)
    steps = f"{given:.4g}" if given else ", ".join(f"{method} {share:.4g}" for method, share in shares.items())
    return "; ".join(filter(None, [scale.note, *images, f"share of the steps: {steps}" if steps else ""]))


def _check_scale(scale: Scale, path: Path) -> None:
    for name, substitute in scale.datasets.items():
        reference(name, plugins.names("dataset"), path, f"datasets.{name}", "dataset")
        checked_spec("dataset", substitute.dataset, path, f"datasets.{name}.dataset")
    for name, spec in scale.generators.items():
        reference(name, plugins.names("generator"), path, f"generators.{name}", "generator")
        checked_spec("generator", spec, path, f"generators.{name}", also=("weights",))
    for section, entries in (("steps", scale.steps), ("methods", scale.methods)):
        for name in entries:
            reference(name, plugins.names("method"), path, f"{section}.{name}", "method")
    for name in scale.study_steps:
        known = (folder.parent.name for folder in (path.parent.parent / "studies").glob("*/study.yaml"))
        reference(name, known, path, f"study_steps.{name}", "study")
    for name, share in scale.steps.items():
        if "steps" not in plugins.plugin("method", name).settings.model_fields:
            raise UserError(
                f"{path}: steps.{name}: the method '{name}' takes no steps; remove the line (share {share})"
            )
    for section, names in (("metrics", scale.metrics), ("metric_gaps", scale.metric_gaps)):
        for name in names:
            reference(name, plugins.names("metric"), path, f"{section}.{name}", "metric")


def _metric_gaps(scale: Scale, studies: Mapping[str, StudyPlan]) -> dict[str, str]:
    specs = [spec for study in studies.values() for spec in study.metrics if spec["name"] in scale.metric_gaps]
    return {metric_id(spec): scale.metric_gaps[spec["name"]] for spec in specs}


class _Resolver:
    """Turns one study into a plan, checking each plug-in's settings against its source."""

    def __init__(
        self, root: Path, config: Config, scale: Scale, scale_path: Path, weights: Mapping[str, Weights], name: str
    ) -> None:
        self.config, self.scale, self.scale_path, self.weights, self.name = config, scale, scale_path, weights, name
        self.study, self.path = load_study(root, name)
        self.gaps = scale.gaps.get(name, {})
        self.shares = self._shares()
        self.folder = Path(config.results) / config.scale / name
        self.reported = self.path.with_name("reported.csv").relative_to(root)

    def _shares(self) -> dict[str, float]:
        """The share of its steps that each method (by plug-in) of the study takes at this scale."""
        used = {str(entry.get("name")) for entry in self.study.methods.values()}.intersection(plugins.names("method"))
        iterating = sorted(n for n in used if "steps" in plugins.plugin("method", n).settings.model_fields)
        given = self.scale.study_steps.get(self.name)
        return (
            dict.fromkeys(iterating, given)
            if given
            else {n: self.scale.steps[n] for n in iterating if n in self.scale.steps}
        )

    def study_plan(self) -> StudyPlan:
        """The whole study."""
        study = self.study
        for name, entry in study.methods.items():
            self._method_entry(name, entry)
        for pattern in self.gaps:
            if not fnmatch.filter(study.cases, pattern):
                reference(pattern, study.cases, self.scale_path, f"gaps.{self.name}", "case")
        generators = {name: self._generator(name, spec) for name, spec in study.generators.items()}
        images = {name: self._images(name, spec, generators) for name, spec in study.images.items()}
        metrics = tuple(self._metric(index, spec) for index, spec in enumerate(study.metrics))
        return StudyPlan(
            name=self.name,
            title=study.title,
            note=_note(self.scale, self.name, study, self.shares),
            folder=self.folder,
            reported=self.reported,
            generators=generators,
            labels={name: str(entry.get("label", name)) for name, entry in study.methods.items()},
            metrics=metrics,
            images=images,
            cases={name: self._case(name, case, images[case.images]) for name, case in study.cases.items()},
            artifacts=claims_artifact(study, metrics, self.path)
            | {name: self._artifact(name, spec) for name, spec in study.artifacts.items()},
        )

    def _images(self, name: str, spec: ImageSet, generators: Mapping[str, Spec]) -> ImagePlan:
        dataset = checked_spec("dataset", spec.dataset, self.path, f"images.{name}.dataset")
        spec = spec.model_copy(update={"dataset": dataset})
        substitute = self.scale.datasets.get(dataset["name"])
        if substitute is not None:
            spec = self._substituted(spec, substitute, f"datasets.{dataset['name']}.dataset")
        cases = [case for case in self.study.cases.values() if case.images == name]
        used = [generators[case.generator]["name"] if case.generator else None for case in cases]
        return ImagePlan(
            study=self.name,
            name=name,
            spec=spec,
            folder=Path(self.config.data) / "images" / self.config.scale / self.name / name,
            sources=plugins.sources("dataset", spec.dataset),
            per_job=min((_images_per_job(self.config, generator) for generator in used), default=IMAGES_PER_JOB),
        )

    def _substituted(self, spec: ImageSet, substitute: Substitute, key: str) -> ImageSet:
        given = substitute.model_dump(exclude_none=True, include={"count", "first"})
        dataset = checked_spec("dataset", substitute.dataset, self.scale_path, key)
        return spec.model_copy(update={"ids": None, "count": spec.size, **given, "dataset": dataset})

    def _generator(self, name: str, spec: Spec) -> Spec:
        path, key = self.path, f"generators.{name}"
        checked = checked_spec("generator", spec, path, key, also=("weights",))
        if checked["name"] in self.scale.generators:
            path, key = self.scale_path, f"generators.{checked['name']}"
            checked = checked_spec("generator", self.scale.generators[checked["name"]], path, key, also=("weights",))
        weights = checked.get("weights")
        if not isinstance(weights, str):
            raise UserError(f"{path}: {key}.weights: is missing; expected a name or a .safetensors file")
        if not weights.endswith(".safetensors"):
            checked["weights"] = self._weights_file(weights, checked, path, f"{key}.weights").as_posix()
        return checked

    def _weights_file(self, name: str, generator: Spec, path: Path, key: str) -> Path:
        file = Path(self.config.data) / "weights" / f"{name}.safetensors"
        if name not in self.weights:
            if not file.is_file():
                reference(name, self.weights, path, key, "published or trainable weights")
            return file
        misfit = matching(self.weights, name, generator)
        if misfit:
            raise UserError(f"{path}: {key}: '{name}' is of another generator: {misfit}")
        return file

    def _metric(self, index: int, spec: Spec) -> Spec:
        override = self.scale.metrics.get(str(spec.get("name")), {})
        path, key = (self.scale_path, f"metrics.{spec['name']}") if override else (self.path, f"metrics.{index}")
        return checked_spec("metric", {**spec, **override}, path, key)

    def _case(self, name: str, case: Case, images: ImagePlan) -> CasePlan:
        operator = checked_spec("operator", case.operator, self.path, f"cases.{name}.operator")
        cells = self._marked(name, {method: self._cell(name, case, method) for method in case.methods})
        return CasePlan(
            study=self.name,
            name=name,
            label=case.label,
            images=images,
            operator=operator,
            noise=case.noise,
            noise_norm=case.noise_norm,
            generator=case.generator,
            cells=cells,
            gap=case.gap or self._gap(name),
            folder=self.folder / name,
        )

    def _gap(self, case: str) -> str | None:
        """Why the scale leaves a case out, if it does."""
        for pattern, gap in self.gaps.items():
            if not fnmatch.fnmatchcase(case, pattern):
                continue
            if not isinstance(gap, Gap):
                return gap
            if not (Path(self.config.data) / "weights" / f"{gap.unless}.safetensors").is_file():
                return gap.reason
        return None

    def _method_entry(self, name: str, entry: Spec) -> Spec:
        key = f"methods.{name}"
        if name in RESERVED:
            raise UserError(f"{self.path}: {key}: the name '{name}' is reserved; choose another")
        starts = _starts(entry)
        checked = checked_spec("method", entry, self.path, key, also=("label", "start", *starts))
        if "start" in entry and "start" not in starts:
            raise UserError(
                f"{self.path}: {key}.start: '{checked['name']}' does not begin from another method's result"
            )
        for need in starts:
            if need not in entry:
                raise UserError(
                    f"{self.path}: {key}.{need}: is missing; '{checked['name']}' begins from another method's result"
                )
            start = _parsed_start(entry[need])
            reference(start.method, self.study.methods, self.path, f"{key}.{need}", "method of this study")
        return checked

    def _cell(self, case_name: str, case: Case, method: str) -> Cell:
        key = f"cases.{case_name}.methods.{method}"
        entry = self.study.methods[method]
        override, fixed = case.methods[method] or {}, ("name", "label", *_starts(entry))
        if set(override) & {*fixed, "start"}:
            named = ", ".join(fixed[:-1]) + f" and {fixed[-1]}"
            raise UserError(f"{self.path}: {key}: {named} belong under 'methods'; only settings go here")
        spec = checked_spec("method", {**entry, **override}, self.path, key, also=fixed[1:])
        spec.pop("label", None)
        starts = {need: self._start(f"{key}.{need}", case, spec.pop(need)) for need in fixed[2:]}
        needs_generator = "generator" in plugins.plugin("method", spec["name"]).needs
        if needs_generator and case.generator is None:
            raise UserError(f"{self.path}: cases.{case_name}.generator: is missing; '{method}' needs one")
        return Cell(method, self._scaled(spec), starts, case.generator if needs_generator else None)

    def _start(self, key: str, case: Case, text: str) -> Start:
        """What a cell begins from, the step cut as the scale cuts the steps of that method."""
        start = _parsed_start(text)
        if start.method not in case.methods:
            raise UserError(
                f"{self.path}: {key.rpartition('.')[0]}: begins from '{start.method}', which this case lacks"
                f"{nearest(start.method, case.methods)}"
            )
        if start.step is None:
            return start
        return replace(start, step=self._cut(self.study.methods[start.method]["name"], start.step))

    def _cut(self, plugin: str, steps: int) -> int:
        """So many steps of a method, as the scale cuts them."""
        return max(1, round(steps * self.shares.get(plugin, 1.0)))

    def _marked(self, case: str, cells: Mapping[str, Cell]) -> dict[str, Cell]:
        """The cells, each with the steps that others begin from."""
        marks: dict[str, set[int]] = {method: set() for method in cells}
        for cell in cells.values():
            for need, start in cell.starts.items():
                if start.step is not None:
                    self._check_mark(f"cases.{case}.methods.{cell.method}.{need}", start, cells[start.method].spec)
                    marks[start.method].add(start.step)
        return {method: replace(cell, marks=tuple(sorted(marks[method]))) for method, cell in cells.items()}

    def _check_mark(self, key: str, start: Start, spec: Spec) -> None:
        begins = f"{self.path}: {key}: begins from step {start.step} of '{start.method}', which"
        if start.step is not None and start.step >= spec.get("steps", 0):
            raise UserError(f"{begins} takes {spec.get('steps', 'no')} steps here; choose an earlier one")
        if spec.get("restarts", 1) > 1:
            raise UserError(f"{begins} has {spec['restarts']} restarts; set its `restarts: 1`")

    def _scaled(self, spec: Spec) -> Spec:
        """A method's settings at this scale."""
        name = spec["name"]
        if "steps" in spec:
            spec = {**spec, "steps": self._cut(name, spec["steps"])}
        if name in self.scale.methods:
            override = self.scale.methods[name]
            spec = checked_spec("method", {**spec, **override}, self.scale_path, f"methods.{name}")
        return spec

    def _artifact(self, name: str, spec: Spec) -> Artifact:
        key = f"artifacts.{name}"
        if name in ("metrics", CLAIMS):
            raise UserError(f"{self.path}: {key}: the name '{name}' is reserved; choose another")
        kind = spec.get("kind")
        if kind == CLAIMS:
            raise UserError(
                f"{self.path}: {key}.kind: a study's claims stand under its key '{CLAIMS}', beside 'artifacts'"
            )
        renamed = {"name": kind, **{k: v for k, v in spec.items() if k != "kind"}}
        if not isinstance(kind, str):
            raise UserError(
                f"{self.path}: {key}.kind: is missing; expected a kind{nearest('', plugins.names('artifact'))}"
            )
        settings = checked_spec("artifact", renamed, self.path, key)
        constants = plugins.plugin("artifact", kind).constants
        del settings["name"]
        return Artifact(name, kind, settings, tuple(constants["SUFFIXES"]), constants["READS"])


def _starts(entry: Spec) -> tuple[str, ...]:
    """Names of the results of other methods that a method begins from: whatever else it is given."""
    try:
        needs = plugins.plugin("method", str(entry.get("name"))).needs
    except KeyError:
        return ()
    return tuple(need for need in needs if need not in ("problem", "generator"))


def _parsed_start(text: str) -> Start:
    """`csgm`: its result; `csgm@500`: its state after 500 steps. Anything else is taken for a name."""
    method, at, step = str(text).partition("@")
    return Start(method, int(step)) if at and step.isdecimal() and int(step) > 0 else Start(str(text))
