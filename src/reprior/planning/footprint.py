"""Counts what a run will make: jobs, images, and bytes on disk. Nothing here imports torch.

Everything is counted as if no file of the run existed yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from reprior.acquire.registry import sources
from reprior.planning import plugins
from reprior.planning.plan import Artifact, CasePlan, ImagePlan, Plan
from reprior.planning.step_times import Key, Row, image_size, tasks
from reprior.planning.weights import Weights

_LATENT = 2048
"""Bytes of the largest latent among the generators, PGGAN's."""
_PER_CELL, _PER_JOB, _PER_IMAGE = 5_000, 1_500, 1_000
"""Bytes of text: a cell in tables and the report; a job's account; an image's numbers, alone and in two tables."""
_PICTURES, _FIGURE, _TABLE = 420_000, 150_000, 20_000
"""Bytes of an artifact and its part of the report, as in the demo: one that shows images, another figure, a table."""
_REPORT = 40_000
"""Bytes of a report without its artifacts."""


@dataclass(frozen=True)
class Disk:
    """Bytes that a run writes, by kind. `unknown_bytes` says which of them are not known."""

    downloads: int
    weights: int
    images: int
    observations: int
    reconstructions: int
    report: int
    """Tables, figures, the report and numbers."""

    def parts(self) -> dict[str, int]:
        """The bytes by name of their kind."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def total(self) -> int:
        """All bytes, if nothing is deleted."""
        return sum(self.parts().values())


def alone(plan: Plan, study: str) -> Plan:
    """The plan of one of its studies."""
    return replace(plan, studies={study: plan.studies[study]})


def jobs(plan: Plan) -> Counter[str]:
    """The number of jobs per rule, as `snakemake -n` counts them before anything is made or downloaded."""
    found = Counter({"download": len(plan.downloads)})
    found.update("train" if weights.training else "convert" for weights in made_weights(plan))
    found["design"] = len(plan.matrices)
    found["prepare"] = sum(len(images.batches) for images in image_sets(plan))
    for task in tasks(plan):
        found[task.rule] += len(task.batches)
    for study in plan.studies.values():
        found.update(f"render_{artifact.kind.replace('-', '_')}" for artifact in study.artifacts.values())
    return +found + Counter({"aggregate_study": len(plan.studies), "aggregate": 1, "report": 1, "all": 1})


def computed_cases(plan: Plan) -> list[CasePlan]:
    """The cases that are not gaps."""
    return [case for study in plan.studies.values() for case in study.cases.values() if case.gap is None]


def left_out(plan: Plan) -> Counter[str]:
    """The number of methods on computed cases that are not computed, by reason."""
    return Counter(reason for case in computed_cases(plan) for reason in case.cell_gaps.values())


def image_sets(plan: Plan) -> list[ImagePlan]:
    """The sets of images that computed cases use."""
    return list({(case.study, case.images.name): case.images for case in computed_cases(plan)}.values())


def made_weights(plan: Plan) -> list[Weights]:
    """The weights that a run converts or trains."""
    made = map(plan.made_weights, plan.networks())
    return list({weights.name: weights for weights in made if weights}.values())


def disk(plan: Plan, rows: Mapping[Key, Row]) -> Disk:
    """What a run writes if everything is kept. `rows` give the sizes of observations."""
    observations = reconstructions = report = 0
    for task in tasks(plan):
        if task.work.stage == "observe":
            row = rows.get(task.work.key)
            # y has at most two numbers per pixel value (Fourier), and its picture has one.
            observations += task.images * (row.bytes if row else 3 * _image(task.work.size))
        elif task.work.stage == "reconstruct":
            trace = 4 * task.steps if task.steps > 1 else 0
            reconstructions += task.images * (_image(task.work.size) + trace + _LATENT)
            report += _PER_CELL + len(task.batches) * _PER_JOB + task.images * _PER_IMAGE
    artifacts = [artifact for study in plan.studies.values() for artifact in study.artifacts.values()]
    sizes = {(case.study, case.images.name): image_size(plan, case) for case in computed_cases(plan)}
    return Disk(
        downloads=sum(download_size(name) or 0 for name in plan.downloads),
        # A checkpoint and the weights converted from it hold the same numbers.
        weights=sum(download_size(weights.source) or 0 for weights in made_weights(plan) if weights.source),
        images=sum(images.spec.size * _image(sizes[images.study, images.name]) for images in image_sets(plan)),
        observations=observations,
        reconstructions=reconstructions,
        report=report + _REPORT + sum(map(_artifact, artifacts)),
    )


def _artifact(artifact: Artifact) -> int:
    """Bytes of a table or figure in all its formats."""
    if artifact.reads == "images":
        return _PICTURES
    return _FIGURE if ".pdf" in artifact.suffixes else _TABLE


def unknown_bytes(plan: Plan, rows: Mapping[Key, Row]) -> list[str]:
    """What `disk` leaves out, or knows only a bound for."""
    downloads = [f"size of the download {name}" for name in plan.downloads if download_size(name) is None]
    trained = [
        f"size of the weights {weights.name}, which are trained" for weights in made_weights(plan) if weights.training
    ]
    designed = [f"size of the matrix {matrix.name}, which is designed" for matrix in plan.matrices.values()]
    sizeless = [
        f"images of {case.study}/{case.name}: their size is not a setting"
        for case in computed_cases(plan)
        if not image_size(plan, case)
    ]
    bounded = sum(1 for task in tasks(plan) if task.work.stage == "observe" and task.work.key not in rows)
    counted = [f"observations of {bounded} cases: taken as three images each, their upper bound"] if bounded else []
    cells = list(plan.cells())
    begun = sum(len(cell.marks) for _, cell in cells)
    kept = [f"{begun} saved states for methods to start from: each at least as large as its images"] if begun else []
    of_layers = sum(
        bool(plugins.plugin("method", cell.spec["name"]).constants.get("KEEPS_FEATURES")) for _, cell in cells
    )
    layers = [f"features of a layer in {of_layers} results: about as large as their images"] if of_layers else []
    return downloads + trained + designed + sizeless + counted + kept + layers


def download_size(source: str) -> int | None:
    """Bytes of a download: of its first variant of known size, beginning with the publisher's. None if not known."""
    variants = sources()[source].accepts if source in sources() else ()
    return next((variant.size for variant in variants if variant.size), None)


def readable(count: int) -> str:
    """Bytes as `1.5 GB` or `0.4 MB`."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _image(size: int) -> int:
    return 3 * size * size * 4
