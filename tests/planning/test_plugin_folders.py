"""Plug-ins in the user's own folders: found by a plan and by an import, and what is said if they do not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reprior import loading
from reprior.errors import UserError
from reprior.planning import plugin_folders, plugins
from reprior.planning.messages import checked_spec

METRIC = """
from .shared_half import half

LABEL = "Half"
BETTER = "lower"
FORMAT = ".2f"


def half_error(estimate, truth, *, of: Literal["l1", "l2"] = "l1"):
    return half(abs(estimate - truth))
"""
Write = Callable[..., None]


@pytest.fixture
def own(tmp_path: Path) -> Write:
    """Writes files of the folders `own` and `more`."""

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write


def test_a_plugin_is_found_with_its_settings_and_may_import_a_module_beside_it(own: Write, tmp_path: Path) -> None:
    own("own/metrics/half_error.py", f"from __future__ import annotations\n{METRIC}")
    own("own/metrics/shared_half.py", "def half(value):\n    return value / 2\n")
    own("own/metrics/__init__.py", "")
    own("own/tests/test_half.py", "")
    plugin_folders.use([tmp_path / "own"])
    assert "half-error" in plugins.names("metric")
    assert "half-error" not in plugins.package_names("metric")
    assert plugins.plugin("metric", "half-error").path == tmp_path / "own/metrics/half_error.py"
    with pytest.raises(UserError, match="metrics.0.of: .*'l1' or 'l2', got 'l3'"):
        checked_spec("metric", {"name": "half-error", "of": "l3"}, Path("study.yaml"), "metrics.0")
    assert loading.load("metric", "half-error")(1.0, 3.0) == 1.0
    plugin_folders.use([])
    assert "half-error" not in plugins.names("metric")
    with pytest.raises(KeyError):
        plugins.plugin("metric", "half-error")


def test_folders_are_named_from_the_working_folder_if_they_lie_in_it(
    own: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own("own/methods/mine.py", "def mine(problem): ...\n")
    own("elsewhere/methods/yours.py", "def yours(problem): ...\n")
    plugin_folders.use([tmp_path / "own", Path("own/../own")])
    assert plugin_folders.used() == (Path("own"),)
    Path("work").mkdir()
    monkeypatch.chdir("work")
    plugin_folders.use([Path("../elsewhere")])
    assert plugin_folders.used() == (tmp_path / "elsewhere",)


WRONG = {
    "of the package": (
        {"own/methods/csgm.py": ""},
        r"own/methods/csgm.py: has the name of \S+/methods/csgm.py; rename",
    ),
    "a module of the package": (
        {"own/methods/base/__init__.py": ""},
        r"own/methods/base/__init__.py: has the name of \S+/methods/base.py; rename",
    ),
    "of another folder": (
        {"own/methods/mine.py": "", "more/methods/mine.py": ""},
        r"more/methods/mine.py: has the name of \S+/own/methods/mine.py; rename one of them",
    ),
    "misspelt sub-folder": (
        {"own/operator/mine.py": ""},
        r"own/operator: is no folder of plug-ins; did you mean 'operators'\? known: datasets, .*, tests$",
    ),
    "misspelt inner folder": ({"own/training/task/mine.py": ""}, r"own/training/task: .*mean 'training/tasks'\?"),
    "unknown sub-folder": ({"own/x/mine.py": ""}, r"own/x: is no folder of plug-ins; known: datasets, "),
    "a dash": ({"own/methods/my-own.py": ""}, r"own/methods/my-own.py: .*rename it to my_own.py$"),
}


@pytest.mark.parametrize(("files", "message"), WRONG.values(), ids=WRONG)
def test_a_folder_that_does_not_fit_is_told_by_its_file(
    own: Write, tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for path, text in files.items():
        own(path, text)
    (tmp_path / "more").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=rf"^\S+/{message}"):
        plugin_folders.use([tmp_path / "own", tmp_path / "more"])
    assert plugin_folders.used() == ()


def test_a_missing_folder_is_told_with_the_command_that_makes_it() -> None:
    message = "plugins: there is no folder absent; make it (`reprior new operator NAME --plugins absent` does)"
    with pytest.raises(UserError, match=re.escape(message)):
        plugin_folders.use([Path("absent")])


BROKEN = {
    "syntax": ("def mine(problem:\n", r"own/metrics/mine.py:1: .*; correct this"),
    "no entry": (
        "def other(estimate, truth): ...\n",
        r"own/metrics/mine.py: defines no metric; it needs a function mine or a class of that name, such as Mine$",
    ),
    "no label": ("def mine(estimate, truth): ...\n", r"own/metrics/mine.py: lacks the constant LABEL"),
    "no type": (
        METRIC.replace("half_error", "mine").replace(': Literal["l1", "l2"]', ""),
        r"mine.py:9: .*'of' has no type",
    ),
    "unknown type": (
        METRIC.replace("half_error", "mine").replace("Literal", "Array"),
        r"mine.py:9: .*'of' has a type that a plan cannot read: name 'Array' is not defined",
    ),
    "computed default": (
        METRIC.replace("half_error", "mine").replace('= "l1"', "= str(1)"),
        r"mine.py:9: .*'of' has a default that is computed",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_plugin_is_told_by_its_name(own: Write, tmp_path: Path, text: str, message: str) -> None:
    own("own/metrics/mine.py", text)
    plugin_folders.use([tmp_path / "own"])
    with pytest.raises(UserError, match=message):
        checked_spec("metric", {"name": "mine"}, Path("study.yaml"), "metrics.0")
