"""Each test edits one thing in a finished project, such as code. Then exactly the jobs that must run are planned."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reprior.machine.files import load_tensors, save_tensors
from tests.workflow.conftest import STUDY, Project, make_project

pytestmark = pytest.mark.slow

DRAWN = {"name": "faces-drawn"}
MATRIX_STUDY = STUDY | {
    "images": {
        "faces": {"dataset": DRAWN, "count": 2},
        "portraits": {"dataset": DRAWN, "ids": ["000010", "000011", "000012"]},
    },
    "methods": STUDY["methods"] | {"dip": {"name": "dip", "label": "DIP", "steps": 2, "channels": 4, "scales": 2}},
    "metrics": [{"name": "psnr"}, {"name": "ssim"}],
    "cases": STUDY["cases"]
    | {
        "deblur": {
            "label": "Deblurring",
            "images": "portraits",
            "generator": "tiny",
            "operator": {"name": "blur", "width": 5},
            "noise": 0.01,
            "methods": {"csgm": None, "dip": None},
        }
    },
    "artifacts": STUDY["artifacts"]
    | {"figure": {"kind": "grid", "title": "Deblurred", "cases": ["deblur"], "methods": ["csgm", "dip"]}},
}
BATCHES = {"sr": ["0000-0001"], "deblur": ["0000-0001", "0002-0002"]}
DIRECT = ("up", "csgm-bp")
"""Methods without steps. They have their own rule."""
SR = ("sr/up", "sr/csgm", "sr/csgm-bp", "sr/iagan")
DEBLUR = ("deblur/csgm", "deblur/dip")
TABLE, BASELINE, FIGURE = "render_table table", "render_table baseline", "render_grid figure"
RENDERED = {TABLE, BASELINE, FIGURE}
PAGE = {"report", "all"}
NUMBERS = {"aggregate_study", "aggregate", *PAGE}

Edit = Callable[[Project], None]


def prepared(images: str, *batches: str) -> set[str]:
    """Jobs that make images."""
    return {f"prepare {images}/{batch}" for batch in batches}


def observed(case: str, *batches: str) -> set[str]:
    """Jobs that make observations, by default of every batch."""
    return {f"observe {case}/{batch}" for batch in batches or BATCHES[case]}


def evaluated(*cells: str, batches: list[str] | None = None) -> set[str]:
    """Jobs that compare cells such as `sr/csgm` with the truth."""
    return {f"evaluate {cell}/{batch}" for cell in cells for batch in batches or BATCHES[cell.partition("/")[0]]}


def computed(*cells: str, batches: list[str] | None = None) -> set[str]:
    """Jobs that compute and evaluate cells."""
    jobs = evaluated(*cells, batches=batches)
    rules = {job: "reconstruct_direct" if job.split("/")[1] in DIRECT else "reconstruct" for job in jobs}
    return jobs | {job.replace("evaluate", rule) for job, rule in rules.items()}


def text(file: str, old: str, new: str) -> Edit:
    """An edit of a file, at the only place where it says `old`."""

    def edit(project: Project) -> None:
        path = project.folder / file
        content = path.read_text(encoding="utf-8")
        assert content.count(old) == 1, f"{file} says {old!r} {content.count(old)} times"
        path.write_text(content.replace(old, new), encoding="utf-8")

    return edit


def code(file: str, old: str, new: str) -> Edit:
    """As `text`, for a file of the package."""
    return text(f"src/reprior/{file}", old, new)


def study(*key: str | int, to: Any) -> Edit:
    """An edit of one value of the study."""

    def edit(project: Project) -> None:
        content = entry = project.study()
        for part in key[:-1]:
            entry = entry[part]
        entry[key[-1]] = to
        project.write_study(content)

    return edit


def other_weights(project: Project) -> None:
    """Another training of the same generator."""
    path = project.folder / "tiny.safetensors"
    tensors, meta = load_tensors(path)
    save_tensors(path, {name: 1.1 * tensor for name, tensor in tensors.items()}, meta)


def touched_weights(project: Project) -> None:
    """The same file with a new time, as after copying."""
    (project.folder / "tiny.safetensors").touch()


DEBLURRED = {*observed("deblur"), *computed(*DEBLUR), FIGURE, *NUMBERS}
WITH_GENERATOR = {*computed("sr/csgm", "sr/csgm-bp", "sr/iagan", "deblur/csgm"), TABLE, FIGURE, *NUMBERS}
MATRIX: dict[str, tuple[Edit, set[str]]] = {
    "method": (
        code("methods/iagan.py", '"z": start.latents}', '"z": 0.9 * start.latents}'),
        {*computed("sr/iagan"), TABLE, *NUMBERS},
    ),
    "start": (
        code("methods/back_projection.py", "x + inverse(", "x + 0.9 * inverse("),
        {*computed("sr/csgm-bp"), TABLE, *NUMBERS},
    ),
    "start_step": (
        study("methods", "iagan", "start", to="csgm@2"),
        {*computed("sr/csgm", "sr/csgm-bp", "sr/iagan"), TABLE, *NUMBERS},
    ),
    "operator": (code("operators/blur.py", "1 / width", "2 / width"), DEBLURRED),
    "loop": (
        code("optimise/loop.py", "beta1=0.9", "beta1=0.8"),
        {*computed("sr/csgm", "sr/csgm-bp", "sr/iagan", *DEBLUR), TABLE, FIGURE, *NUMBERS},
    ),
    "generator": (code("generators/began.py", "functional.elu(", "functional.selu("), WITH_GENERATOR),
    "network": (
        code("networks/skip.py", 'mode="bilinear"', 'mode="bicubic"'),
        {*computed("deblur/dip"), FIGURE, *NUMBERS},
    ),
    "dataset": (
        code("datasets/faces_drawn.py", "STRANDS = 256", "STRANDS = 255"),
        {
            *prepared("faces", "0000-0001"),
            *prepared("portraits", "0000-0001", "0002-0002"),
            *observed("sr"),
            *observed("deblur"),
            *computed(*SR, *DEBLUR),
            *RENDERED,
            *NUMBERS,
        },
    ),
    "metric": (code("metrics/ssim.py", "sigma=1.5", "sigma=1.4"), {*evaluated(*SR, *DEBLUR), *RENDERED, *NUMBERS}),
    "average": (code("metrics/averaging.py", "-10 * np.log10", "-20 * np.log10"), {*RENDERED, *PAGE}),
    "plot": (code("render/sheet.py", "GUTTER = 0.04", "GUTTER = 0.05"), {FIGURE, *PAGE}),
    "template": (code("render/templates/report.html", "reprior report:", "Report:"), PAGE),
    "case": (study("cases", "deblur", "noise", to=0.02), DEBLURRED),
    "image_id": (
        study("images", "portraits", "ids", 1, to="000020"),
        {
            *prepared("portraits", "0000-0001"),
            *observed("deblur", "0000-0001"),
            *computed(*DEBLUR, batches=["0000-0001"]),
            FIGURE,
            *NUMBERS,
        },
    ),
    "more_images": (
        study("images", "faces", "count", to=4),
        {
            *prepared("faces", "0002-0003"),
            *observed("sr", "0002-0003"),
            *computed(*SR, batches=["0002-0003"]),
            TABLE,
            BASELINE,
            *NUMBERS,
        },
    ),
    "fewer_images": (
        study("images", "portraits", "ids", to=["000010", "000011"]),
        {FIGURE, *NUMBERS},
    ),
    "images_per_job": (
        text("config.yaml", "images_per_job: 2", "images_per_job: 1"),
        {
            *prepared("faces", "0000-0000", "0001-0001"),
            *observed("sr", "0000-0000", "0001-0001"),
            *computed(*SR, batches=["0000-0000", "0001-0001"]),
            *prepared("portraits", "0000-0000", "0001-0001"),
            *observed("deblur", "0000-0000", "0001-0001"),
            *computed(*DEBLUR, batches=["0000-0000", "0001-0001"]),
            *RENDERED,
            *NUMBERS,
        },
    ),
    "weights": (other_weights, WITH_GENERATOR),
    "reported": (text("studies/mine/reported.csv", "20.5", "20.6"), {*RENDERED, *PAGE}),
    "docstring": (code("optimise/loop.py", '"""One step of Adam', '"""A step of Adam'), set()),
    "comment": (code("optimise/loop.py", "# The fused kernel", "# This kernel"), set()),
    "planner": (code("planning/resolve.py", "IMAGES_PER_JOB = 20", "IMAGES_PER_JOB = 21"), set()),
    "planned_constant": (code("generators/began.py", "IMAGES_PER_JOB = 20", "IMAGES_PER_JOB = 21"), set()),
    "another_method": (code("methods/naive.py", "def naive(", "NEW = 1\n\n\ndef naive("), set()),
    "readme": (text("README.md", "Read this.", "Read this first."), set()),
    "touched_weights": (touched_weights, set()),
    "device": (text("config.yaml", "device: auto", "device: cpu"), set()),
    "checkpoint_seconds": (text("config.yaml", "checkpoint_seconds: 60", "checkpoint_seconds: 30"), set()),
    "precision": (
        text("config.yaml", "checkpoint_seconds: 60", "checkpoint_seconds: 60\nprecision: bfloat16"),
        {*computed("sr/csgm", "sr/csgm-bp", "sr/iagan", *DEBLUR), *RENDERED, *NUMBERS},
    ),
    "jobs_per_gpu": (text("config.yaml", "jobs_per_gpu: 1", "jobs_per_gpu: 2"), set()),
}


@pytest.fixture(scope="module", autouse=True)
def own_code() -> Iterator[None]:
    """Each project runs the copy of the package in its own folder: the path is relative to the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", "src")
        yield


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory, own_code: None) -> Project:
    """A project with its own copy of the package, run once."""
    project = make_project(root, tmp_path_factory.mktemp("done"))
    project.write_study(MATRIX_STUDY)
    source = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "src/reprior", project.folder / "src/reprior", ignore=source)
    (project.folder / "README.md").write_text("Read this.\n")
    (project.folder / "config.yaml").write_text(
        "scale: tiny\nstudies: [mine]\nimages_per_job: 2\ndevice: auto\njobs_per_gpu: 1\ncheckpoint_seconds: 60\n"
    )
    project.snakemake()
    return project


@pytest.fixture
def edited(done: Project, tmp_path: Path) -> Project:
    """A copy of that project, to edit."""
    shutil.copytree(done.folder, tmp_path / "edited")
    return Project(tmp_path / "edited")


def planned(project: Project, *arguments: str) -> list[str]:
    """The jobs that Snakemake would run, as `evaluate deblur/dip/0002-0002`: rule, and wildcards without the study."""
    found = []
    for job in re.split(r"\n(?=(?:local)?rule )", project.snakemake("-n", *arguments)):
        if rule := re.match(r"(?:local)?rule (\w+):", job):
            wildcards = dict(re.findall(r"(\w+)=([\w-]+)", "".join(re.findall(r"wildcards: (.*)", job))))
            what = "/".join(value for name, value in wildcards.items() if name != "study")
            found.append(f"{rule[1]} {what}".strip())
    return sorted(found)


def test_the_first_run_leaves_nothing_to_do(edited: Project) -> None:
    assert planned(edited) == []


@pytest.mark.parametrize(("edit", "expected"), [pytest.param(*row, id=name) for name, row in MATRIX.items()])
def test_an_edit_reruns_what_it_touches_and_nothing_else(edited: Project, edit: Edit, expected: set[str]) -> None:
    edit(edited)
    assert planned(edited) == sorted(expected)


def test_touch_accepts_the_named_results_after_an_edit_that_changes_no_number(edited: Project) -> None:
    code("optimise/loop.py", "eps=1e-8", "eps=1e-4**2")(edited)
    assert {job.split()[0] for job in planned(edited)} >= {"reconstruct", "reconstruct_direct", "evaluate"}
    study("cases", "deblur", "noise", to=0.02)(edited)
    results = edited.folder.glob("results/tiny/mine/sr/*/*.safetensors")
    edited.snakemake("--touch", *(path.relative_to(edited.folder).as_posix() for path in results))
    assert planned(edited) == sorted(DEBLURRED)
