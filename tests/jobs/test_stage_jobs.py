"""What a job's command says about code in the user's own folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reprior.jobs.code_fingerprint import Package, code_fingerprint, outside_files
from reprior.jobs.stage_jobs import code_argument, modules
from reprior.planning import plugin_folders

FILES = {
    "my own/operators/turned.py": "from .angles import RIGHT\n\nclass Turned: ...\n",
    "my own/operators/angles.py": "RIGHT = 90\n",
    "more/methods/idle.py": "def idle(problem): ...\n",
}


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], None]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return lambda: plugin_folders.use([tmp_path / "my own", tmp_path / "more"])


def test_a_job_is_given_the_folders_that_it_uses(folders: Callable[[], None], tmp_path: Path) -> None:
    ours = modules("observe", operator={"name": "blur"})
    before = code_argument(ours)
    assert before == code_fingerprint(*ours)
    folders()
    assert code_argument(ours) == before, "a folder that the job does not use changes nothing"
    theirs = modules("observe", operator={"name": "turned"})
    assert code_argument(theirs) == f"{code_fingerprint(*theirs)} --plugins '{tmp_path}/my own'"
    assert [file.name for file in outside_files(*theirs)] == ["angles.py", "turned.py"]


def test_an_edit_of_what_a_plugin_imports_changes_the_hash(folders: Callable[[], None], tmp_path: Path) -> None:
    def hashed() -> str:
        package = Package("reprior", plugin_folders.PACKAGE, tmp_path / "my own")
        return package.fingerprint("reprior.operators.turned")

    before = hashed()
    (tmp_path / "my own/operators/angles.py").write_text("RIGHT = 90  # degrees\n")
    assert hashed() == before
    (tmp_path / "my own/operators/angles.py").write_text("RIGHT = 91\n")
    assert hashed() != before
