"""What a scale changes in a study: its steps, its images, what is left out, and the note that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from reprior.errors import UserError
from reprior.metrics import metric_id
from reprior.planning import plugins
from reprior.planning.matrices import check_unset
from reprior.planning.messages import checked_spec, reference
from reprior.planning.plan import StudyPlan
from reprior.planning.study import Scale, Spec, Study
from reprior.types import Precision


def whole(scale: Scale) -> Scale:
    """The scale without cuts: every available image, and the study's own number of steps."""
    datasets = {name: s.model_copy(update={"count": s.of or s.count}) for name, s in scale.datasets.items()}
    return scale.model_copy(update={"datasets": datasets, "steps": {}, "study_steps": {}})


def substituted(scale: Scale, study: str, dataset: str) -> str | None:
    """The key of what a scale uses instead of a data set: that of this study alone, or that of all; None if none."""
    return next((key for key in (f"{study}/{dataset}", dataset) if key in scale.datasets), None)


def note(scale: Scale, name: str, study: Study, cut_steps: Mapping[str, float], precision: Precision) -> str:
    """The scale's note and what it cuts in a study: `8 of 64 images; share of the steps: csgm 0.25`."""
    keys = (substituted(scale, name, str(images.dataset.get("name"))) for images in study.images.values())
    used = [scale.datasets[key] for key in keys if key]
    cut = [s for s in used if s.count and s.count != s.of]
    images = dict.fromkeys(f"{s.count}{f' of {s.of}' if s.of else ''} images" for s in cut)
    given = scale.study_steps.get(name)
    steps = f"{given:.4g}" if given else ", ".join(f"{method} {share:.4g}" for method, share in cut_steps.items())
    share = f"share of the steps: {steps}" if steps and given != 1 else ""
    rounded = "" if precision == "float32" else f"networks compute in {precision}"
    changed = (rounded, *_operator_notes(scale, study), *_loss_notes(scale, study))
    return "; ".join(filter(None, [scale.note, *images, share, *changed]))


def _operator_notes(scale: Scale, study: Study) -> list[str]:
    """What a scale changes in the operators of a study: `operator designed: images 1000, pairs 5000`."""
    used = dict.fromkeys(str(case.operator.get("name")) for case in study.cases.values())
    changed = {name: scale.operators[name] for name in used if scale.operators.get(name)}
    return [
        f"operator {name}: {', '.join(f'{key} {value}' for key, value in settings.items())}"
        for name, settings in changed.items()
    ]


def _loss_notes(scale: Scale, study: Study) -> list[str]:
    """The losses of a study that a scale leaves out: `without the loss lpips`."""
    cells = (cell or {} for case in study.cases.values() for cell in case.methods.values())
    used = {str(term.get("name")) for cell in (*study.methods.values(), *cells) for term in cell.get("loss", [])}
    return [f"without the loss {name}" for name in scale.loss_gaps if name in used]


def check_scale(scale: Scale, path: Path, weights: Iterable[str]) -> None:
    """Check every name and setting in a scale's file. UserError with one message if something is wrong."""
    for name, substitute in scale.datasets.items():
        study, _, dataset = name.rpartition("/")
        if study:
            reference(study, _studies(path), path, f"datasets.{name}", "study")
        reference(dataset, plugins.names("dataset"), path, f"datasets.{name}", "dataset")
        checked_spec("dataset", substitute.dataset, path, f"datasets.{name}.dataset")
    sections: Mapping[plugins.Kind, Mapping[str, Spec]] = {"generator": scale.generators, "network": scale.networks}
    for kind, specs in sections.items():
        for name, spec in specs.items():
            reference(name, [*plugins.names(kind), *weights], path, f"{kind}s.{name}", f"{kind} or weights")
            checked_spec(kind, spec, path, f"{kind}s.{name}", also=("weights",))
    for section, entries in (("steps", scale.steps), ("methods", scale.methods)):
        for name in entries:
            reference(name, plugins.names("method"), path, f"{section}.{name}", "method")
    for name in scale.study_steps:
        reference(name, _studies(path), path, f"study_steps.{name}", "study")
    for name, share in scale.steps.items():
        if "steps" not in plugins.plugin("method", name).settings.model_fields:
            raise UserError(
                f"{path}: steps.{name}: the method '{name}' takes no steps; remove the line (share {share})"
            )
    for section, names in (("metrics", scale.metrics), ("metric_gaps", scale.metric_gaps)):
        for name in names:
            reference(name, plugins.names("metric"), path, f"{section}.{name}", "metric")
    for name, settings in scale.operators.items():
        reference(name, plugins.names("operator"), path, f"operators.{name}", "operator")
        check_unset({"name": name, **settings}, path, f"operators.{name}")
    for section, losses in (("losses", scale.losses), ("loss_gaps", scale.loss_gaps)):
        for name in losses:
            reference(name, plugins.names("loss"), path, f"{section}.{name}", "loss")


def _studies(path: Path) -> list[str]:
    """The studies beside the folder of a scale's file."""
    return [folder.parent.name for folder in (path.parent.parent / "studies").glob("*/study.yaml")]


def metric_gaps(scale: Scale, studies: Mapping[str, StudyPlan]) -> dict[str, str]:
    """The metrics that the scale leaves out, with the reason."""
    specs = [spec for study in studies.values() for spec in study.metrics if spec["name"] in scale.metric_gaps]
    return {metric_id(spec): scale.metric_gaps[spec["name"]] for spec in specs}


def shares(scale: Scale, name: str, study: Study) -> dict[str, float]:
    """By plug-in name of a method: the share of its steps that is run at this scale."""
    used = {str(entry.get("name")) for entry in study.methods.values()}.intersection(plugins.names("method"))
    iterating = sorted(n for n in used if "steps" in plugins.plugin("method", n).settings.model_fields)
    given = scale.study_steps.get(name)
    if given:
        return dict.fromkeys(iterating, given)
    return {n: scale.steps[n] for n in iterating if n in scale.steps}
