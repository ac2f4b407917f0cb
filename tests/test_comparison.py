"""A solver of one's own in the table of a study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import reprior
from reprior.api.comparison import Comparison
from reprior.errors import UserError
from reprior.metrics.averaging import average
from reprior.operators.base import Operator
from tests.workflow.runner import forking

ROOT = Path(__file__).parents[1]
STUDY = """
title: Faces
images:
  faces: {dataset: {name: faces-drawn}, count: 2}
methods:
  up: {name: bicubic, label: Bicubic}
  inverse: {name: naive, label: Pseudo-inverse, kind: dagger}
metrics:
  - {name: psnr}
cases:
  sr: {label: Faces x2, images: faces, operator: {name: bicubic, scale: 2}, noise: 0.1, methods: {up: , inverse: }}
artifacts:
  table: {kind: table, title: Faces, cases: [sr], methods: [up, inverse], metrics: [psnr]}
"""
REPORTED = "artifact,case,method,metric,value,note\ntable9,sr,up,psnr,21.5,\n"


def inverse(y: Tensor, operator: Operator) -> Tensor:
    """What the method `naive` does: what y does not determine is grey."""
    grey = torch.full((1, *operator.image_shape), 0.5)
    return grey + operator.A_dagger(y - operator.A(grey))


def values(found: Comparison, method: str, metric: str) -> list[float]:
    numbers = found.numbers
    return numbers[(numbers["method"] == method) & (numbers["metric"] == metric)]["value"].tolist()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with one small study, as the folder of the process."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "workflow", "profiles", "scales", "recipes", "config.yaml", "src", "envs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "studies/faces").mkdir(parents=True)
    (folder / "studies/faces/study.yaml").write_text(STUDY)
    (folder / "studies/faces/reported.csv").write_text(REPORTED)
    for name in ("iagan", "hybrid", "npgd", "ilo"):  # scales name them
        (folder / "studies" / name).symlink_to(ROOT / "studies" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variable, value in forking({}).items():
            patch.setenv(variable, value)
        yield folder


@pytest.fixture(scope="module")
def found(project: Path) -> Comparison:
    return reprior.compare(inverse, study="faces", scale="demo", label="My solver", cores=1)


@pytest.mark.slow
def test_its_numbers_stand_beside_those_of_the_study_and_of_the_paper(found: Comparison, project: Path) -> None:
    assert found.folder == Path("compared/mine")
    for metric in ("psnr", "residual"):
        mine, theirs = (values(found, method, metric) for method in ("mine", "inverse"))
        assert len(mine) == 2 and mine == pytest.approx(theirs, rel=1e-4)
    heading, _, ours = found.table.splitlines()[2:5]
    assert heading.endswith("| Bicubic | Pseudo-inverse | My solver |")
    assert f"{average('psnr', values(found, 'mine', 'psnr')):.2f}" in ours.split("|")[-2]
    assert "21.5" in found.table
    assert {path.suffix for path in found.folder.glob("pictures.*")} == {".json", ".png", ".pdf"}
    assert "My solver" in found.report.read_text()
    assert not (project / "results/demo/faces/sr/mine").exists()


@pytest.mark.slow
def test_a_comparison_replaces_the_one_before(found: Comparison) -> None:
    def blank(y: Tensor, operator: Operator) -> Tensor:
        return torch.zeros(len(y), *operator.image_shape)

    again = reprior.compare(blank, study="faces", scale="demo", out=found.folder.with_name("blank"), cases=["sr"])
    assert values(again, "mine", "residual") == pytest.approx([1, 1])


@pytest.mark.slow
def test_a_solver_that_returns_something_else_changes_nothing(found: Comparison) -> None:
    before = found.report.read_bytes()
    with pytest.raises(
        UserError,
        match=r"case sr: reprior.compare: the solver must return a tensor \(2, 3, 64, 64\), not \(2, 3, 32, 32\)",
    ):
        reprior.compare(lambda y, operator: y, study="faces", scale="demo")
    with pytest.raises(UserError, match="must return a tensor .* not NoneType"):
        reprior.compare(lambda y, operator: None, study="faces", scale="demo")  # type: ignore[arg-type,return-value]
    assert found.report.read_bytes() == before


def test_what_does_not_exist_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"study faces has no case 'sr-x2'.*sr"):
        reprior.compare(inverse, study="faces", scale="demo", cases=["sr-x2"])
    with pytest.raises(UserError, match="has a method 'up'; give another `name`"):
        reprior.compare(inverse, study="faces", scale="demo", name="up")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has no Snakefile; call it in the project's folder"):
        reprior.compare(inverse, study="faces", scale="demo")


@pytest.mark.slow
def test_what_an_edit_of_the_study_outdates_is_made_again(found: Comparison, project: Path) -> None:
    study = project / "studies/faces/study.yaml"
    study.write_text(STUDY.replace("kind: dagger", "kind: adjoint"))
    again = reprior.compare(inverse, study="faces", scale="demo", name="edited", cores=1)
    study.write_text(STUDY)
    assert values(again, "inverse", "psnr") != values(found, "inverse", "psnr")
    assert values(again, "edited", "psnr") == values(found, "mine", "psnr")
