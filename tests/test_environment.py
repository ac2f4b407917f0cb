"""The environment files agree, and contain only packages, versions and hashes."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import reprior

ROOT = Path(__file__).parent.parent
LOCKS = [ROOT / "envs/requirements.lock", ROOT / "envs/installer.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
APART = {"bm3d"}
"""Extras of one package each, with its name, that `dev` leaves out because their licences are not free."""
DIRECT = RUNTIME + [
    Requirement(line) for extra in ("test", "lint", "slurm", "deepinv", "docs") for line in EXTRAS[extra]
]


def entries(lock: Path) -> list[str]:
    """The lock's entries, each with its continuation lines."""
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    return re.findall(r"^\S.*(?:\n\s.*)*", "\n".join(lines), flags=re.MULTILINE)


def versions(lock: Path) -> dict[str, str]:
    """The version of each locked package. Fails if an entry is not name==version."""
    found: dict[str, str] = {}
    for entry in entries(lock):
        match = re.match(r"([a-z0-9-]+)==([^\s;]+)(?: ;[^\\]*)? \\\n", entry)
        assert match, f"{lock.name}: not name==version with hashes: {entry.splitlines()[0]}"
        assert match[1] not in found, f"{lock.name}: {match[1]} is there twice"
        found[match[1]] = match[2]
    return found


LOCKED = versions(LOCKS[0])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_entry_is_hashed_and_nothing_says_where_from(lock: Path) -> None:
    assert entries(lock)
    for entry in entries(lock):
        _, *hashes = [line.strip().removesuffix(" \\") for line in entry.splitlines()]
        assert hashes, entry
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), entry
    assert not re.search(r"://| @ |--(extra-)?index|--find-links|--trusted-host|/(tmp|home|opt)/", lock.read_text())


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_direct_dependency_is_locked_within_its_bounds(requirement: Requirement) -> None:
    assert LOCKED[canonicalize_name(requirement.name)] in requirement.specifier


def test_dev_is_all_extras_but_those_with_licences_of_their_own() -> None:
    (dev,) = (Requirement(line) for line in EXTRAS["dev"])
    assert dev.name == PROJECT["name"]
    assert dev.extras == EXTRAS.keys() - {"dev"} - APART
    assert all([Requirement(line).name for line in EXTRAS[extra]] == [extra] for extra in APART)
    assert not APART & LOCKED.keys()


def test_conda_environment_has_the_locked_versions() -> None:
    (pins,) = (part["pip"] for part in conda()["dependencies"] if isinstance(part, dict))
    assert sorted(pins) == sorted(f"{r.name}=={LOCKED[canonicalize_name(r.name)]}" for r in RUNTIME)


def test_conda_environment_has_a_supported_python() -> None:
    (python,) = (part for part in conda()["dependencies"] if str(part).startswith("python="))
    assert Requirement("python" + PROJECT["requires-python"]).specifier.contains(python.removeprefix("python="))


def conda() -> dict:
    """The conda environment file."""
    return yaml.safe_load((ROOT / "envs/reprior.yaml").read_text())


def test_installer_builds_with_the_locked_setuptools() -> None:
    """Source packages are built with the setuptools of the environment, not with the newest."""
    assert versions(LOCKS[1])["setuptools"] == LOCKED["setuptools"]


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == reprior.__version__
    assert PROJECT["dynamic"] == ["version"]


def refusal(clone: Path, **settings: str) -> str:
    """What envs/install.sh prints when it refuses these settings, before it touches anything."""
    env = {**os.environ, "INSTALLER": "uv", "TORCH": "locked", **settings}
    done = subprocess.run([clone / "envs/install.sh"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout
    assert [path.name for path in clone.iterdir()] == ["envs"]
    return done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the installer and no .venv."""
    shutil.copytree(ROOT / "envs", tmp_path / "clone/envs")
    return tmp_path / "clone"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"INSTALLER": "conda"}, "use uv or pip"),
        ({"TORCH": "gpu"}, "use locked, cpu or installed"),
        ({"TORCH": "cpu", "INSTALLER": "pip"}, "TORCH=cpu needs INSTALLER=uv"),
        ({"TORCH": "installed"}, "there is no .venv"),
        ({"PYTHON": "no-such-python"}, "was not found"),
        ({"PYTHON": "false"}, "older than Python 3.11"),
    ],
)
def test_install_refuses_what_cannot_work(clone: Path, settings: dict[str, str], says: str) -> None:
    assert says in refusal(clone, **settings)


def test_every_import_is_declared() -> None:
    """No module imports a package that is installed only as a dependency of another.

    A package of an extra may be imported where `PACKAGE` tells the plan to look for it.
    """
    declared = {canonicalize_name(requirement.name) for requirement in RUNTIME}
    providers = packages_distributions()
    for path in (ROOT / "src").rglob("*.py"):
        extra = {name for name in EXTRAS if f'\nPACKAGE = "{name}"\n' in path.read_text()}
        for module in imported(path) - sys.stdlib_module_names - {"reprior"} - extra:
            assert declared & {canonicalize_name(name) for name in providers[module]}, f"{path}: {module}"


def imported(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    dotted = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain | dotted}
