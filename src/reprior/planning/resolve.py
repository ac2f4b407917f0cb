"""Makes the plan: checks the user's files and fills in every setting of every cell. Nothing here imports torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from reprior.errors import UserError
from reprior.planning import plugin_folders, plugins
from reprior.planning.cells import Cells, cell_gaps
from reprior.planning.claims import CLAIMS, claims_artifact
from reprior.planning.matrices import MATRIX, Matrix, check_files, check_unset, design_settings, matrix_for
from reprior.planning.messages import checked_spec, known_metrics, nearest, parse, reference
from reprior.planning.plan import Artifact, CasePlan, ImagePlan, Plan, StudyPlan
from reprior.planning.scaling import check_scale, metric_gaps, note, shares, substituted, whole
from reprior.planning.study import Case, Config, Gap, ImageSet, Scale, Spec, Substitute
from reprior.planning.weights import Weights, known_weights, matching
from reprior.planning.yaml_files import load_scale, load_study

IMAGES_PER_JOB = 20
"""Images per job if neither the user nor the generator's module gives a number."""


def make_plan(root: Path, config: Mapping[str, Any]) -> Plan:
    """Read and check the study and scale files that `config` names; UserError if anything is wrong."""
    checked = parse(Config, config, root / "config.yaml")
    plugin_folders.use(root / folder for folder in checked.plugins)
    _check_images_per_job(checked, root / "config.yaml")
    scale, scale_path = load_scale(root, checked.scale)
    if checked.whole:
        scale = whole(scale)
    weights = known_weights(root)
    check_scale(scale, scale_path, weights)
    resolvers = (_Resolver(root, checked, scale, scale_path, weights, name) for name in checked.studies)
    studies = {resolver.name: resolver.study_plan() for resolver in resolvers}
    cases = [case for study in studies.values() for case in study.cases.values()]
    check_files((f"{case.study}/{case.name}", case.matrix) for case in cases if case.matrix)
    return Plan(checked, scale, studies, weights, metric_gaps(scale, studies), root)


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
                f"{path}: {key}: has a number for each device, but device is 'auto'; set device to cpu, cuda or mps,"
                " so that the plan has the same batches on every machine"
            )


def _images_per_job(config: Config, generator: str | None) -> int:
    """Images per job for the cases of a generator. The device found does not count: it would rename batches."""
    constants = plugins.plugin("generator", generator).constants if generator else {}
    numbers = config.images_per_job.get(generator or "", config.images_per_job.get("", {}))
    return numbers.get(config.device, numbers.get("", constants.get("IMAGES_PER_JOB", IMAGES_PER_JOB)))


class _Resolver:
    """Turns one study into a plan and checks the settings of each plug-in against its source."""

    def __init__(
        self, root: Path, config: Config, scale: Scale, scale_path: Path, weights: Mapping[str, Weights], name: str
    ) -> None:
        self.config, self.scale, self.scale_path, self.weights, self.name = config, scale, scale_path, weights, name
        self.study, self.path = load_study(root, name)
        self.gaps = scale.gaps.get(name, {})
        self.shares = shares(scale, name, self.study)
        self.cells = Cells(self.study, self.path, scale, scale_path, self.shares, config.precision)
        self.folder = Path(config.results) / config.scale / name
        self.reported = self.path.with_name("reported.csv").relative_to(root)

    def study_plan(self) -> StudyPlan:
        """The plan of the whole study."""
        study = self.study
        for name, entry in study.methods.items():
            self.cells.check_entry(name, entry)
        methods = [f"{case}/{method}" for case, entry in study.cases.items() for method in entry.methods]
        for pattern in self.gaps:
            known = methods if "/" in pattern else list(study.cases)
            if not fnmatch.filter(known, pattern):
                reference(pattern, known, self.scale_path, f"gaps.{self.name}", "case")
        generators = {name: self._trained("generator", name, spec) for name, spec in study.generators.items()}
        networks = {name: self._trained("network", name, spec) for name, spec in study.networks.items()}
        images = {name: self._images(name, spec, generators) for name, spec in study.images.items()}
        metrics = tuple(self._metric(index, spec) for index, spec in enumerate(study.metrics))
        metric_ids = known_metrics(metrics)
        return StudyPlan(
            name=self.name,
            title=study.title,
            note=note(self.scale, self.name, study, self.shares, self.config.precision),
            folder=self.folder,
            reported=self.reported,
            generators=generators,
            networks=networks,
            labels={name: str(entry.get("label", name)) for name, entry in study.methods.items()},
            metrics=metrics,
            images=images,
            cases={name: self._case(name, case, images[case.images], generators) for name, case in study.cases.items()},
            artifacts=claims_artifact(study, metric_ids, self.path)
            | {name: self._artifact(name, spec, metric_ids) for name, spec in study.artifacts.items()},
        )

    def _images(self, name: str, spec: ImageSet, generators: Mapping[str, Spec]) -> ImagePlan:
        dataset = checked_spec("dataset", spec.dataset, self.path, f"images.{name}.dataset")
        spec = spec.model_copy(update={"dataset": dataset})
        key = substituted(self.scale, self.name, dataset["name"])
        if key is not None:
            spec = self._substituted(spec, self.scale.datasets[key], f"datasets.{key}.dataset")
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

    def _trained(self, kind: Literal["generator", "network"], name: str, spec: Spec) -> Spec:
        """The scale's or the study's spec of a trained network, with its file of weights."""
        path, key = self.path, f"{kind}s.{name}"
        substitutes = self.scale.generators if kind == "generator" else self.scale.networks
        checked = checked_spec(kind, spec, path, key, also=("weights",))
        for named in (checked.get("weights"), checked["name"]):  # weights are the narrower name, so they come first
            if named in substitutes:
                path, key = self.scale_path, f"{kind}s.{named}"
                checked = checked_spec(kind, substitutes[named], path, key, also=("weights",))
                break
        weights = checked.get("weights")
        if not isinstance(weights, str):
            raise UserError(f"{path}: {key}.weights: is missing; expected a name or a .safetensors file")
        if not weights.endswith(".safetensors"):
            checked["weights"] = self._weights_file(weights, kind, checked, path, f"{key}.weights").as_posix()
        return checked

    def _weights_file(self, name: str, kind: str, spec: Spec, path: Path, key: str) -> Path:
        file = Path(self.config.data) / "weights" / f"{name}.safetensors"
        if name not in self.weights:
            if not file.is_file():
                reference(name, self.weights, path, key, "published or trainable weights")
            return file
        misfit = matching(self.weights, name, spec)
        if misfit:
            raise UserError(f"{path}: {key}: '{name}' is of another {kind}: {misfit}")
        return file

    def _metric(self, index: int, spec: Spec) -> Spec:
        override = self.scale.metrics.get(str(spec.get("name")), {})
        path, key = (self.scale_path, f"metrics.{spec['name']}") if override else (self.path, f"metrics.{index}")
        return checked_spec("metric", {**spec, **override}, path, key)

    def _case(self, name: str, case: Case, images: ImagePlan, generators: Mapping[str, Spec]) -> CasePlan:
        operator = self._operator(name, case)
        matrix = self._matrix(name, case, operator, generators)
        cells = self.cells.of(name, case)
        left_out = {method: self._gap(f"{name}/{method}") or "" for method in cells}
        lacking = cell_gaps(cells, left_out, self.scale.loss_gaps)
        return CasePlan(
            study=self.name,
            name=name,
            label=case.label,
            images=images,
            operator={**operator, MATRIX: matrix.file} if matrix else operator,
            noise=case.noise,
            noise_norm=case.noise_norm,
            clip=case.clip,
            generator=case.generator,
            cells={method: cell for method, cell in cells.items() if method not in lacking},
            cell_gaps=lacking,
            gap=case.gap or self._gap(name) or plugins.not_installed("operator", operator["name"]) or None,
            folder=self.folder / name,
            matrix=matrix,
        )

    def _operator(self, name: str, case: Case) -> Spec:
        """The operator of a case with every setting, including what the scale changes."""
        key = f"cases.{name}.operator"
        operator = checked_spec("operator", case.operator, self.path, key)
        check_unset(case.operator, self.path, key)
        override = self.scale.operators.get(operator["name"], {})
        key = f"operators.{operator['name']}"
        return checked_spec("operator", {**operator, **override}, self.scale_path, key) if override else operator

    def _matrix(self, name: str, case: Case, operator: Spec, generators: Mapping[str, Spec]) -> Matrix | None:
        """The matrix of an operator that is designed for the case's generator; None for other operators."""
        if not design_settings(operator):
            return None
        if case.generator is None:
            raise UserError(
                f"{self.path}: cases.{name}.generator: is missing; the matrix of '{operator['name']}' is made for one"
            )
        return matrix_for(operator, generators[case.generator], Path(self.config.data))

    def _gap(self, name: str) -> str | None:
        """Why the scale leaves out a case, or a method of it (`case/method`); None if it does not."""
        for pattern, gap in self.gaps.items():
            if ("/" in pattern) != ("/" in name) or not fnmatch.fnmatchcase(name, pattern):
                continue
            if not isinstance(gap, Gap):
                return gap
            if not (Path(self.config.data) / "weights" / f"{gap.unless}.safetensors").is_file():
                return gap.reason
        return None

    def _artifact(self, name: str, spec: Spec, metrics: Mapping[str, str]) -> Artifact:
        key = f"artifacts.{name}"
        if name in ("metrics", CLAIMS):
            raise UserError(f"{self.path}: {key}: the name '{name}' is reserved; choose another")
        kind = spec.get("kind")
        if kind == CLAIMS:
            raise UserError(
                f"{self.path}: {key}.kind: a study's claims belong under its key '{CLAIMS}', next to 'artifacts'"
            )
        renamed = {"name": kind, **{k: v for k, v in spec.items() if k != "kind"}}
        if not isinstance(kind, str):
            raise UserError(
                f"{self.path}: {key}.kind: is missing; expected a kind{nearest('', plugins.names('artifact'))}"
            )
        settings = checked_spec("artifact", renamed, self.path, key)
        for field, names in (("metric", [settings.get("metric")]), ("metrics", settings.get("metrics", []))):
            for metric in filter(None, names):
                reference(metric, metrics, self.path, f"{key}.{field}", "metric of this study")
        constants = plugins.plugin("artifact", kind).constants
        del settings["name"]
        return Artifact(name, kind, settings, tuple(constants["SUFFIXES"]), constants["READS"])
