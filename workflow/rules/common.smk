"""Shared by several rules: where files are, and which files depend on which."""

import re

from reprior.jobs import stage_jobs
from reprior.planning import plugins
from reprior.planning.job_memory import memory_mb
from reprior.planning.plan import OBSERVATION, as_json, render_spec

RESULTS = PLAN.folder.as_posix()
DATA = Path(PLAN.config.data).as_posix()
RAW = PLAN.raw.as_posix()
METRICS = f"{RESULTS}/metrics.csv"
REPORT = f"{RESULTS}/report/index.html"
COMMAND = f"snakemake --cores all --config scale={PLAN.config.scale}{' whole=true' if PLAN.config.whole else ''}"
ENVIRONMENT = "../../envs/reprior.yaml"
# The machine that plans may have no GPU although the profile gives the rule GPUs.
ON_GPU = PLAN.on_gpu or "gpu" in workflow.resource_settings.overwrite_resources.get("reconstruct", {})
# How a job runs, not what it computes. It is passed in resources, so that a change reruns nothing.
WHERE = f"--device {PLAN.config.device} --jobs-per-gpu {PLAN.config.jobs_per_gpu}"
HOW = f"{WHERE} --checkpoint-seconds {PLAN.config.checkpoint_seconds}"
FIRST = 10**6
"""Priority of jobs that somebody waits for: other jobs, or a person for a first picture. Reconstructions have their
steps as priority, so that the longest start first."""


wildcard_constraints:
    study="[^/]+",
    case="[^/]+",
    method=f"(?!{OBSERVATION}/)[^/]+",
    batch=r"\d+-\d+",


def one_of(names):
    """A pattern that matches only these names."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def cells_where(chosen):
    """A pattern for `study` that looks ahead: it matches only if the rest of the path is one of the chosen cells."""
    methods = {}
    for case, cell in PLAN.cells():
        if chosen(cell):
            methods.setdefault(case.study, set()).add(cell.method)
    cells = [f"{re.escape(study)}/[^/]+/(?:{one_of(names)})/" for study, names in methods.items()]
    return f"(?={'|'.join(cells) or '(?!)'})[^/]+"


def artifacts_where(kind):
    """As `cells_where`, for artifacts of one kind. Two studies may use the same name for different kinds."""
    names = {
        study.name: [name for name, artifact in study.artifacts.items() if artifact.kind == kind]
        for study in PLAN.studies.values()
    }
    patterns = [rf"{re.escape(study)}/(?:{one_of(found)})\." for study, found in names.items() if found]
    return f"(?={'|'.join(patterns)})[^/]+"


def growing(mem_mb):
    """Memory that grows with each attempt (`retries`), because a lack of memory may have caused the failure."""
    return lambda wildcards, attempt: mem_mb * attempt


def memory(wildcards, attempt):
    """Memory of `observe`, which has no method, and of methods on the CPU."""
    cell = cell_of(wildcards) if "method" in wildcards.keys() else None
    return attempt * memory_mb(PLAN, case_of(wildcards), cell, wildcards.batch)


def gpu_memory(wildcards, attempt):
    """Memory of methods that run on a GPU if there is one."""
    return attempt * memory_mb(PLAN, case_of(wildcards), cell_of(wildcards), wildcards.batch, ON_GPU)


def code(stage, **specs):
    """Hash of the code a job runs. As a param, it makes Snakemake rerun the job when that code changes."""
    return stage_jobs.code_argument(stage_jobs.modules(stage, **specs))


def raw_files(sources):
    return [f"{RAW}/{source}" for source in sources]


def study_of(wildcards):
    return PLAN.studies[wildcards.study]


def case_of(wildcards):
    return study_of(wildcards).cases[wildcards.case]


def cell_of(wildcards):
    return case_of(wildcards).cells[wildcards.method]


def trained_of(wildcards):
    """The generator, or None, and the other trained networks of a cell."""
    networks = PLAN.trained(case_of(wildcards), cell_of(wildcards))
    return networks.pop("generator", None), networks


def batch_files(case, folder, suffix):
    """One file per batch, in `folder` of a case."""
    return [f"{case.folder}/{folder}/{batch}{suffix}" for batch in case.images.batches]


def spec_of(wildcards):
    return render_spec(PLAN, wildcards.study, wildcards.artifact)


def artifact_inputs(wildcards):
    return stage_jobs.render_inputs(spec_of(wildcards))


def planned_results():
    for study in PLAN.studies.values():
        for case in (case for case in study.cases.values() if case.gap is None):
            yield from (f"{case.images.folder}/{batch}.safetensors" for batch in case.images.batches)
            yield from batch_files(case, OBSERVATION, ".safetensors")
            for method in case.cells:
                for suffix in (".safetensors", ".json", ".csv"):
                    yield from batch_files(case, method, suffix)


def damaged_results(wildcards):
    """Results that were set aside. They are requested by name: Snakemake does not miss a file if its products exist."""
    damaged = WORKPLACE.to_be_made_again()
    return sorted(damaged.intersection(planned_results())) if damaged else []


def image_plan(wildcards):
    return study_of(wildcards).images[wildcards.images]


def observed_case(wildcards):
    case = case_of(wildcards)
    return {"study": case.study, "case": case.name, "operator": case.operator, **case.measured_noise}


def observe_inputs(wildcards):
    case = case_of(wildcards)
    matrix = {"matrix": case.matrix.file} if case.matrix else {}
    return {"images": f"{case.images.folder}/{wildcards.batch}.safetensors", **matrix}


def reconstruct_inputs(wildcards):
    case, cell = case_of(wildcards), cell_of(wildcards)
    inputs = {"observation": f"{case.folder}/{OBSERVATION}/{wildcards.batch}.safetensors"}
    for need, start in cell.starts.items():
        inputs[need] = f"{case.folder}/{start.method}/{wildcards.batch}.safetensors"
    if case.matrix:
        inputs["matrix"] = case.matrix.file
    if networks := PLAN.trained(case, cell):
        inputs["weights"] = [network["weights"] for network in networks.values()]
    if sources := PLAN.cell_sources(cell):
        inputs["downloads"] = raw_files(sources)
    return inputs


def reconstruct_code(wildcards):
    cell, operator = cell_of(wildcards), case_of(wildcards).operator
    generator, networks = trained_of(wildcards)
    specs = {"method": cell.spec, "operator": operator, "generator": generator, "network": [*networks.values()]}
    return code("reconstruct", **specs, loss=cell.losses)


def training_code(wildcards):
    made, against = PLAN.weights[wildcards.name], PLAN.trained_against(wildcards.name)
    dataset, recipe = made.training.dataset, made.training.recipe
    return stage_jobs.code_argument(stage_jobs.training_modules(made.generator, dataset, recipe, against))


def reconstruct_options(wildcards):
    """Not computed from `input`: Snakemake would not treat that as a setting, so a change would rerun nothing."""
    cell, files = cell_of(wildcards), reconstruct_inputs(wildcards)
    generator, networks = trained_of(wildcards)
    starts = {need: {"file": files[need], "step": start.step} for need, start in cell.starts.items()}
    return [
        *("--method", as_json(cell.spec)),
        *(("--generator", as_json(generator)) if generator else ()),
        *(("--networks", as_json(networks)) if networks else ()),
        *(("--starts", as_json(starts)) if starts else ()),
        *(("--marks", as_json(cell.marks)) if cell.marks else ()),
        *(("--raw", RAW) if "downloads" in files else ()),
    ]


def computed_metrics(wildcards):
    return PLAN.metrics_of(study_of(wildcards), cell_of(wildcards))


def evaluate_inputs(wildcards):
    case = case_of(wildcards)
    return {
        "estimate": f"{case.folder}/{wildcards.method}/{wildcards.batch}.safetensors",
        "job": f"{case.folder}/{wildcards.method}/{wildcards.batch}.json",
        "images": f"{case.images.folder}/{wildcards.batch}.safetensors",
        "downloads": raw_files(
            name for spec in computed_metrics(wildcards) for name in plugins.sources("metric", spec)
        ),
    }


def study_numbers(wildcards):
    cases = [case for case in study_of(wildcards).cases.values() if case.gap is None]
    return [file for case in cases for method in case.cells for file in batch_files(case, method, ".csv")]
