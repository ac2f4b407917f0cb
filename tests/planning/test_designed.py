"""Matrices that are designed for a generator, from the study to the plan."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reprior.errors import UserError
from reprior.planning.estimate import describe
from reprior.planning.footprint import jobs, made_weights, unknown_bytes
from reprior.planning.job_memory import memory_mb
from reprior.planning.plan import CasePlan, Plan
from reprior.planning.resolve import make_plan
from reprior.planning.step_times import tasks

BEGAN = {"name": "began", "size": 64, "channels": 64, "output": "tanh"}
DESIGNED = {"name": "designed", "measurements": 100}
STUDY: dict[str, Any] = {
    "title": "A study",
    "images": {"faces": {"dataset": {"name": "faces-drawn"}, "count": 1}},
    "generators": {"began": {**BEGAN, "weights": "began-celeba-64"}},
    "methods": {"naive": {"name": "naive"}},
    "metrics": [{"name": "psnr"}],
    "cases": {
        name: {"label": name, "images": "faces", "generator": "began", "operator": operator, "methods": {"naive": None}}
        for name, operator in {
            "cs-100": DESIGNED,
            "cs-200": {**DESIGNED, "measurements": 200},
            "random": {"name": "gaussian", "measurements": 100},
        }.items()
    },
    "artifacts": {
        "t": {"kind": "table", "title": "T", "cases": ["cs-100"], "methods": ["naive"], "metrics": ["psnr"]},
    },
}
FILE = "data/matrices/began-celeba-64-paper-10000-50000-500.safetensors"


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Plan]:
    """Makes a plan of the study after an edit, at a scale with these contents."""

    def plan(
        edit: Callable[[Any], object] = lambda _: None, scale: dict[str, Any] | None = None, **config: Any
    ) -> Plan:
        study = copy.deepcopy(STUDY)
        edit(study)
        files = {"studies/mine/study.yaml": study, "scales/tiny.yaml": {"title": "Tiny", **(scale or {})}}
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(yaml.safe_dump(content))
        return make_plan(tmp_path, {"scale": "tiny", "studies": ["mine"], **config})

    return plan


def operator(case: str, **settings: Any) -> Callable[[Any], object]:
    """An edit of a case's operator."""
    return lambda study: study["cases"][case]["operator"].update(settings)


def case_of(plan: Plan, name: str) -> CasePlan:
    return plan.studies["mine"].cases[name]


def test_an_operator_gets_the_file_that_is_designed_for_its_generator(project: Callable[..., Plan]) -> None:
    plan = project()
    assert case_of(plan, "cs-100").operator["matrix"] == FILE
    matrix = case_of(plan, "cs-100").matrix
    assert matrix is not None
    assert matrix.operator == {"name": "designed", "variant": "paper", "images": 10000, "pairs": 50000, "block": 500}
    assert matrix.generator == plan.studies["mine"].generators["began"]
    assert case_of(plan, "random").matrix is None
    assert "matrix" not in case_of(plan, "random").operator


def test_all_m_share_a_file_and_other_designs_have_their_own(project: Callable[..., Plan]) -> None:
    assert list(project().matrices) == [FILE]
    plan = project(operator("cs-200", variant="released", images=1000, pairs=5000, block=100))
    other = "data/matrices/began-celeba-64-released-1000-5000-100.safetensors"
    assert list(plan.matrices) == [FILE, other]
    assert jobs(plan)["design"] == 2


def test_files_are_in_the_data_folder(project: Callable[..., Plan]) -> None:
    assert list(project(data="elsewhere").matrices) == [FILE.replace("data", "elsewhere", 1)]


def test_weights_are_made_for_a_matrix_alone(project: Callable[..., Plan]) -> None:
    """No method here needs the generator."""
    plan = project()
    assert [weights.name for weights in made_weights(plan)] == ["began-celeba-64"]
    assert "began/netG_200000.pth" in plan.downloads


def test_a_case_that_is_a_gap_needs_no_matrix(project: Callable[..., Plan]) -> None:
    plan = project(scale={"gaps": {"mine": {"cs-*": "left out"}}})
    assert plan.matrices == {}
    assert jobs(plan)["design"] == 0
    assert plan.downloads == ()


def test_a_scale_changes_how_it_is_designed_and_says_so(project: Callable[..., Plan]) -> None:
    plan = project(scale={"operators": {"designed": {"images": 1000, "pairs": 5000}}})
    assert list(plan.matrices) == ["data/matrices/began-celeba-64-paper-1000-5000-500.safetensors"]
    assert plan.studies["mine"].note == "operator designed: images 1000, pairs 5000"
    assert case_of(plan, "cs-200").operator["measurements"] == 200


def test_estimates_name_it_and_do_not_depend_on_its_design(project: Callable[..., Plan]) -> None:
    plan = project()
    name = Path(FILE).stem
    assert f"  design of {name}" in describe(plan, plan.root).splitlines()
    assert f"size of the matrix {name}, which is designed" in unknown_bytes(plan, {})
    assert "designed measurements=100" in {task.work.key.operator for task in tasks(plan)}
    assert "gaussian measurements=100 tolerance=1e-05" in {task.work.key.operator for task in tasks(plan)}


def test_its_memory_is_that_of_its_rows(project: Callable[..., Plan]) -> None:
    def larger(study: Any) -> None:
        study["images"]["faces"]["dataset"] = {"name": "celeba", "size": 128}
        study["cases"]["cs-200"]["operator"]["measurements"] = 5000

    plan = project(larger)
    few, many = (memory_mb(plan, case_of(plan, name), None, "0000-0000") for name in ("cs-100", "cs-200"))
    assert many - few == pytest.approx(1.1 * 4900 * 3 * 128 * 128 * 4 / 2**20, abs=500)


def other_generator(study: Any) -> None:
    study["generators"]["wider"] = {**BEGAN, "channels": 32, "weights": "my/began-celeba-64.safetensors"}
    study["cases"]["cs-200"]["generator"] = "wider"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda study: study["cases"]["cs-100"].pop("generator"),
            r"study.yaml: cases.cs-100.generator: is missing; the matrix of 'designed' is made for one",
        ),
        (
            operator("cs-100", matrix="mine.safetensors"),
            r"study.yaml: cases.cs-100.operator.matrix: the plan names this file, after the generator; remove the line",
        ),
        (
            operator("cs-100", variant="code"),
            r"study.yaml: cases.cs-100.operator.variant: input should be 'paper' or 'released', got 'code'",
        ),
        (
            other_generator,
            r"began-celeba-64-paper-10000-50000-500.safetensors: the cases mine/cs-100 and mine/cs-200 would both make"
            r" it, but their generators differ: weights is .*; channels is 64 and 32; give one of them weights",
        ),
    ],
    ids=["no generator", "own file", "setting", "one name for two generators"],
)
def test_what_is_wrong_is_told_by_its_key(
    project: Callable[..., Plan], edit: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        project(edit)


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (
            {"design": {"images": 9}},
            r"tiny.yaml: operators.design: there is no operator 'design'; did you mean 'designed'",
        ),
        ({"designed": {"image": 9}}, r"tiny.yaml: operators.designed.image: unknown key; did you mean 'images'"),
        ({"designed": {"images": 0}}, r"tiny.yaml: operators.designed.images: .* got 0"),
        ({"designed": {"matrix": "mine"}}, r"tiny.yaml: operators.designed.matrix: the plan names this file"),
    ],
)
def test_what_is_wrong_in_a_scale_is_told_by_its_key(
    project: Callable[..., Plan], operators: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        project(scale={"operators": operators})
