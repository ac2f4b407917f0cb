"""`reprior new`: what it writes runs, is tested and in style as it is; and what it refuses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml

from reprior.cli import main
from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config
from reprior.templates.new import New

KINDS = get_args(New)
PLUGINS = [kind for kind in KINDS if kind != "study"]


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the demo's settings and no plug-ins."""
    monkeypatch.chdir(tmp_path)
    for folder in ("scales", "recipes", "studies"):
        shutil.copytree(root / folder, folder)
    Path("config.yaml").write_text("scale: demo\nstudies: [my-study]\nplugins: [my_plugins]\n")
    return tmp_path


def new(kind: str, name: str, *options: str) -> None:
    main(["new", kind, name, *options])


def tool(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_each_kind_passes_its_own_test_and_the_checks_of_style(project: Path, root: Path) -> None:
    for kind in KINDS:
        new(kind, f"my-{kind}")
    tests = sorted(path.name for path in Path("my_plugins/tests").iterdir())
    assert tests == sorted([*(f"test_my_{kind}.py" for kind in PLUGINS), "test_study_my_study.py"])
    ran = tool("pytest", "-q", "-p", "no:cacheprovider", "my_plugins/tests")
    assert int(re.findall(r"(\d+) passed", ran)[0]) >= 3 * len(PLUGINS)
    ours = 'lint.isort.known-first-party=["reprior"]'  # as in the project's own folder
    settings = ("--config", str(root / "pyproject.toml"), "--config", ours, "my_plugins")
    tool("ruff", "check", "--ignore", "D103", *settings)  # the names of tests say what a docstring would
    tool("ruff", "format", "--check", *settings)


def test_the_study_plans_as_it_is_and_with_every_new_plugin(project: Path) -> None:
    for kind in KINDS:
        new(kind, f"my-{kind}")
    plan = make_plan(Path(), read_config(Path(), []))
    assert list(plan.studies["my-study"].cases["blocks-x4"].cells) == ["adjoint", "pseudo-inverse"]
    study = yaml.safe_load(Path("studies/my-study/study.yaml").read_text())
    study["images"]["faces"]["dataset"] = {"name": "my-dataset"}
    study["generators"] = {"mine": {"name": "my-generator", "weights": "w.safetensors"}}
    study["methods"]["mine"] = {"name": "my-method"}
    study["metrics"].append({"name": "my-metric"})
    case = study["cases"]["blocks-x4"]
    case.update(operator={"name": "my-operator"}, generator="mine", methods={"mine": {"steps": 9}, "adjoint": None})
    for artifact in study["artifacts"].values():
        artifact["methods"] = ["mine", "adjoint"]
    Path("studies/my-study/study.yaml").write_text(yaml.safe_dump(study))
    planned = make_plan(Path(), read_config(Path(), [])).studies["my-study"].cases["blocks-x4"]
    assert planned.operator == {"name": "my-operator", "pixels": 2}
    assert planned.cells["mine"].spec["steps"] == 9


def test_it_says_what_to_do_next(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new("operator", "my-blur", "--plugins", "lab/own")
    said = capsys.readouterr().out
    assert "wrote lab/own/operators/my_blur.py\n" in said
    assert "config.yaml:  plugins: [lab/own]\n" in said
    assert "operator: {name: my-blur} of a case\n" in said
    assert "pytest lab/own/tests/test_my_blur.py\n" in said
    new("metric", "mine")
    assert "config.yaml" not in capsys.readouterr().out, "it names my_plugins already"


REFUSED = {
    "capitals": ("operator", "My-Blur", "'My-Blur' does not fit: use small letters"),
    "spaces": ("study", "my blur", "'my blur' does not fit"),
    "underscores": ("metric", "my_blur", "'my_blur' does not fit"),
    "a word of Python": ("method", "lambda", "'lambda' does not fit"),
    "a path": ("study", "../mine", "'../mine' does not fit"),
    "ours": ("operator", "blur", r"'blur' is taken by the package's own \S+/operators/blur.py"),
    "a folder of results": ("study", "report", "'report' is taken by a folder of the results"),
    "a module of ours": ("method", "base", r"'base' is taken by the package's own \S+/methods/base.py"),
}


@pytest.mark.parametrize(("kind", "name", "message"), REFUSED.values(), ids=REFUSED)
def test_a_name_that_does_not_fit_writes_nothing(project: Path, kind: str, name: str, message: str) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit, match=message):
        new(kind, name)
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("existing", ["operators/mine.py", "tests/test_mine.py"])
def test_it_never_overwrites(project: Path, existing: str) -> None:
    path = Path("my_plugins") / existing
    path.parent.mkdir(parents=True)
    path.write_text("my work")
    with pytest.raises(SystemExit, match=f"{existing}: exists and is not overwritten"):
        new("operator", "mine")
    assert path.read_text() == "my work"
    assert list(Path("my_plugins").rglob("*.py")) == [path]


def test_every_template_is_in_a_wheel(root: Path) -> None:
    """Python files are there because the folder is a package; the others must be named in pyproject.toml."""
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    folder = root / "src/reprior/templates"
    assert (folder / "__init__.py").is_file()
    others = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"]
    assert {path.name for path in others} == {"study.yaml", "reported.csv"}
    assert {f"**/*{path.suffix}" for path in others} <= set(patterns)
