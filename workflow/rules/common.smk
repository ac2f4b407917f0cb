"""What several rules share: where things are, and which files hang on which."""

import re

from reprior import plugins
from reprior.plan import OBSERVATION, as_json, render_spec

RESULTS = PLAN.folder.as_posix()
DATA = Path(PLAN.config.data).as_posix()
RAW = PLAN.raw.as_posix()
METRICS = f"{RESULTS}/metrics.csv"
REPORT = f"{RESULTS}/report/index.html"
ENVIRONMENT = "../../envs/reprior.yaml"


wildcard_constraints:
    study="[^/]+",
    case="[^/]+",
    method=f"(?!{OBSERVATION}/)[^/]+",
    batch=r"\d+-\d+",


def one_of(names):
    """A pattern that matches these names alone."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def raw_files(sources):
    return [f"{RAW}/{source}" for source in sources]


def study_of(wildcards):
    return PLAN.studies[wildcards.study]


def case_of(wildcards):
    return study_of(wildcards).cases[wildcards.case]


def cell_of(wildcards):
    return case_of(wildcards).cells[wildcards.method]


def generator_of(wildcards):
    name = cell_of(wildcards).generator
    return study_of(wildcards).generators[name] if name else None


def batch_files(case, folder, suffix):
    """One file a batch, in `folder` of a case."""
    return [f"{case.folder}/{folder}/{batch}{suffix}" for batch in case.images.batches]


def image_files(case):
    return [f"{case.images.folder}/{batch}.safetensors" for batch in case.images.batches]


def artifact_inputs(wildcards):
    """What a table or figure is made from: numbers of its cells, and their pictures where it shows some."""
    study = study_of(wildcards)
    artifact = study.artifacts[wildcards.artifact]
    files = []
    for case in (study.cases[name] for name in artifact.settings["cases"]):
        if case.gap is not None:
            continue
        for method in artifact.settings.get("methods", ()):
            if method in case.cells:
                files += batch_files(case, method, ".csv") + batch_files(case, method, ".json")
                files += batch_files(case, method, ".safetensors") if artifact.reads == "images" else []
        if artifact.reads == "images":
            files += batch_files(case, OBSERVATION, ".safetensors") + image_files(case)
    return files


def image_plan(wildcards):
    return study_of(wildcards).images[wildcards.images]


def observed_case(wildcards):
    case = case_of(wildcards)
    return {"study": case.study, "case": case.name, "operator": case.operator, "noise": case.noise}


def reconstruct_inputs(wildcards):
    case, cell, generator = case_of(wildcards), cell_of(wildcards), generator_of(wildcards)
    inputs = {"observation": f"{case.folder}/{OBSERVATION}/{wildcards.batch}.safetensors"}
    if cell.start is not None:
        inputs["start"] = f"{case.folder}/{cell.start}/{wildcards.batch}.safetensors"
    if generator is not None:
        inputs["weights"] = generator["weights"]
    return inputs


def start_option(wildcards, input):
    return ["--start", input.start] if "start" in input.keys() else []


def generator_option(wildcards):
    generator = generator_of(wildcards)
    return ["--generator", as_json(generator)] if generator else []


def computed_metrics(wildcards):
    return PLAN.computed_metrics(study_of(wildcards))


def metric_downloads(wildcards):
    return raw_files(name for spec in computed_metrics(wildcards) for name in plugins.sources("metric", spec))


def study_numbers(wildcards):
    cases = [case for case in study_of(wildcards).cases.values() if case.gap is None]
    return [file for case in cases for method in case.cells for file in batch_files(case, method, ".csv")]
