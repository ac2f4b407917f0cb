"""Trained networks that a method needs besides the generator, from the study to the plan."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reprior.errors import UserError
from reprior.planning.footprint import made_weights
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.planning.step_times import tasks

METHOD = "def projected(problem: Problem, generator: nn.Module, projector: nn.Module, *, eta: float = 1.0): ..."
NETWORK = "class Inverse:\n    def __init__(self, *, width: int = 8): ..."
STUDY: dict[str, Any] = {
    "title": "A study",
    "images": {"faces": {"dataset": {"name": "faces-drawn"}, "count": 1}},
    "generators": {"began": {"name": "began", "size": 64, "weights": "w.safetensors"}},
    "networks": {"inverse-faces": {"name": "inverse", "weights": "inverse-trained"}},
    "methods": {"npgd": {"name": "projected"}, "up": {"name": "bicubic"}},
    "metrics": [{"name": "psnr"}],
    "cases": {
        "sr": {
            "label": "SR x4",
            "images": "faces",
            "generator": "began",
            "networks": {"projector": "inverse-faces"},
            "operator": {"name": "bicubic", "scale": 4},
            "methods": {"npgd": None, "up": None},
        }
    },
    "artifacts": {"t": {"kind": "table", "title": "T", "cases": ["sr"], "methods": ["npgd"], "metrics": ["psnr"]}},
}
RECIPES = {
    "recipes/inverse-trained.yaml": {
        "network": {"name": "inverse", "width": 8},
        "against": {"generator": "began-celeba-64"},
        "dataset": {"name": "celeba-subset"},
        "recipe": {"task": "inversion"},
    }
}
TASK = 'TRAINS = "network"\n\nclass Inversion:\n    def __init__(self, network, recipe, device, generator): ...'

PLUGINS = {
    "own/methods/projected.py": METHOD,
    "own/networks/inverse.py": NETWORK,
    "own/training/tasks/inversion.py": TASK,
}


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Plan]:
    """Makes a plan of the study after an edit, at a scale with these contents."""

    def plan(edit: Callable[[Any], object] = lambda _: None, scale: dict[str, Any] | None = None) -> Plan:
        study = copy.deepcopy(STUDY)
        edit(study)
        files = {"studies/mine/study.yaml": study, "scales/tiny.yaml": {"title": "Tiny", **(scale or {})}}
        texts = {name: yaml.safe_dump(content) for name, content in {**files, **RECIPES}.items()}
        for name, text in {**texts, **PLUGINS}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return make_plan(tmp_path, {"scale": "tiny", "studies": ["mine"], "plugins": ["own"]})

    return plan


def test_a_cell_has_the_network_that_its_case_names(project: Callable[..., Plan]) -> None:
    plan = project()
    case = plan.studies["mine"].cases["sr"]
    network = {"name": "inverse", "width": 8, "weights": "data/weights/inverse-trained.safetensors"}
    assert plan.trained(case, case.cells["npgd"])["projector"] == network
    assert list(plan.trained(case, case.cells["npgd"])) == ["generator", "projector"]
    assert case.cells["npgd"].starts == {}
    assert plan.trained(case, case.cells["up"]) == {}


def test_its_weights_and_what_they_are_trained_against_are_made_first(project: Callable[..., Plan]) -> None:
    plan = project()
    assert [weights.name for weights in made_weights(plan)] == ["inverse-trained"]
    assert {"celeba/celeba_subset.tar", "began/netG_200000.pth"} <= set(plan.downloads)


def test_times_are_those_with_the_network(project: Callable[..., Plan]) -> None:
    (key,) = {
        task.work.key for task in tasks(project()) if task.work.method and task.work.method["name"] == "projected"
    }
    assert key.generator.endswith("; inverse width=8")


def test_a_scale_replaces_a_network(project: Callable[..., Plan]) -> None:
    plan = project(scale={"networks": {"inverse": {"name": "inverse", "width": 2, "weights": "small.safetensors"}}})
    assert plan.studies["mine"].networks["inverse-faces"]["width"] == 2
    with pytest.raises(UserError, match=r"tiny.yaml: networks.inverted: there is no network or weights 'inverted'"):
        project(scale={"networks": {"inverted": {"name": "inverse", "weights": "w.safetensors"}}})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda study: study["cases"]["sr"].pop("networks"),
            r"cases.sr.networks.projector: is missing; 'npgd' needs a trained network",
        ),
        (
            lambda study: study["cases"]["sr"]["networks"].update(projector="inverse-face"),
            r"cases.sr.networks.projector: there is no network of this study 'inverse-face'; .*'inverse-faces'",
        ),
        (
            lambda study: study["networks"]["inverse-faces"].pop("weights"),
            r"networks.inverse-faces.weights: is missing",
        ),
        (
            lambda study: study["networks"]["inverse-faces"].update(width=9),
            r"networks.inverse-faces.weights: 'inverse-trained' is of another network: width is 8 there and 9 here",
        ),
        (
            lambda study: study["cases"]["sr"]["networks"].update(denoiser="inverse-faces"),
            r"cases.sr.networks.denoiser: no method of this case needs it; remove the line",
        ),
    ],
    ids=["not named", "misspelt", "no weights", "other weights", "not needed"],
)
def test_what_is_wrong_is_told_by_its_key(
    project: Callable[..., Plan], edit: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        project(edit)
