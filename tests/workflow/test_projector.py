"""A study whose generator, projector and matrix are made by jobs: retraining the generator makes what follows stale."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import Project, make_project
from tests.workflow.test_rerun_matrix import planned

pytestmark = pytest.mark.slow

DIGITS = {"name": "digits-drawn"}
GENERATOR = {"name": "npgd-mnist", "channels": 2, "latent": 4}
INVERSE = {"name": "npgd-mnist-inverse", "channels": 2, "latent": 4}
DENOISER = {"name": "denoiser", "channels": 2, "layers": 2}
BRIEF = {"steps": 2, "images": 4, "batch": 2, "held_out": 2, "candidate_every": 1}
RECIPES: dict[str, Any] = {
    "tiny": {"generator": GENERATOR, "recipe": {**BRIEF, "objective": "npgd", "discriminator_channels": 2}},
    "tiny-inverse": {
        "network": INVERSE,
        "against": {"generator": "tiny"},
        "recipe": {**BRIEF, "task": "projector"},
    },
    "tiny-denoiser": {"network": DENOISER, "recipe": {**BRIEF, "task": "denoising"}},
}


DESIGNED = {"name": "designed", "images": 20, "pairs": 20, "block": 10}


def _case(operator: dict[str, Any], networks: dict[str, str], *methods: str) -> dict[str, Any]:
    case = {"label": operator["name"], "images": "digits", "generator": "tiny", "operator": operator}
    return case | {"networks": networks, "methods": dict.fromkeys(methods)}


STUDY = {
    "title": "A tiny study of projectors",
    "images": {"digits": {"dataset": DIGITS, "count": 2}},
    "generators": {"tiny": {**GENERATOR, "weights": "tiny"}},
    "networks": {
        "inverse": {**INVERSE, "weights": "tiny-inverse"},
        "denoiser": {**DENOISER, "weights": "tiny-denoiser"},
    },
    "methods": {
        "npgd": {"name": "npgd", "steps": 2},
        "csgm": {"name": "csgm", "steps": 2},
        "pnp": {"name": "plug-and-play", "steps": 2},
        "rec": {"name": "restricted-eigenvalues", "steps": 2},
    },
    "metrics": [{"name": "mse"}],
    "cases": {
        "random": _case(
            {"name": "gaussian", "measurements": 20},
            {"projector": "inverse", "denoiser": "denoiser"},
            *("npgd", "csgm", "pnp", "rec"),
        ),
        "designed": _case({**DESIGNED, "measurements": 20}, {"projector": "inverse"}, "npgd", "csgm"),
        "designed-30": _case({**DESIGNED, "measurements": 30}, {}, "csgm"),
    },
    "artifacts": {
        name: {"kind": "table", "title": name, "cases": [case], "methods": methods, "metrics": ["mse"]}
        for name, case, methods in (
            ("learned", "random", ["npgd", "csgm"]),
            ("denoised", "random", ["pnp"]),
            ("by-design", "designed", ["npgd", "csgm"]),
        )
    },
}
FOLLOWS_G = {
    *("train tiny", "train tiny-inverse", "design tiny-paper-20-20-10"),
    *("observe designed/0000-0001", "observe designed-30/0000-0001"),
    *(
        f"{rule} {cell}/0000-0001"
        for rule in ("reconstruct", "evaluate")
        for cell in ("random/npgd", "random/csgm", "random/rec", "designed/npgd", "designed/csgm", "designed-30/csgm")
    ),
    *("render_table learned", "render_table by-design", "aggregate_study", "aggregate", "report", "all"),
}
FOLLOWS_INVERSE = {
    "train tiny-inverse",
    *(f"{rule} {case}/npgd/0000-0001" for rule in ("reconstruct", "evaluate") for case in ("random", "designed")),
    *("render_table learned", "render_table by-design", "aggregate_study", "aggregate", "report", "all"),
}


def _write_recipe(folder: Path, name: str, **changes: Any) -> None:
    content = {**RECIPES[name], "dataset": {**DIGITS, "split": "train"}}
    content["recipe"] = content["recipe"] | changes
    (folder / "recipes").mkdir(exist_ok=True)
    (folder / f"recipes/{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of the study."""
    project = make_project(root, tmp_path_factory.mktemp("projector"))
    project.write_study(STUDY)
    (project.folder / "studies/mine/reported.csv").write_text("artifact,case,method,metric,value,note\n")
    (project.folder / "config.yaml").write_text("scale: tiny\nstudies: [mine]\n")
    for name in RECIPES:
        _write_recipe(project.folder, name)
    project.snakemake()
    return project


@pytest.fixture
def edited(done: Project, tmp_path: Path) -> Project:
    """A copy of the finished run, to edit."""
    shutil.copytree(done.folder, tmp_path / "edited", copy_function=shutil.copy2)
    return Project(tmp_path / "edited")


def test_retraining_the_generator_makes_its_inverse_and_all_that_follows_stale_and_nothing_else(
    edited: Project,
) -> None:
    assert planned(edited) == []
    _write_recipe(edited.folder, "tiny", seed=1)
    assert planned(edited) == sorted(FOLLOWS_G)


def test_retraining_the_inverse_network_leaves_generator_and_matrix_alone(edited: Project) -> None:
    _write_recipe(edited.folder, "tiny-inverse", seed=1)
    assert planned(edited) == sorted(FOLLOWS_INVERSE)


def test_the_designed_matrix_is_made_once_for_every_m(done: Project) -> None:
    files = [path.name for path in (done.folder / "data/matrices").glob("*.safetensors")]
    assert files == ["tiny-paper-20-20-10.safetensors"]


def test_a_method_that_restores_nothing_has_its_own_numbers_and_no_error(done: Project) -> None:
    rows = (done.folder / "results/tiny/mine/metrics.csv").read_text().splitlines()
    metrics = {row.split(",")[4] for row in rows if re.match(r"mine,random,rec,", row)}
    assert "rec-alpha" in metrics
    assert "mse" not in metrics
