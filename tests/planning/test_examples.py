"""The studies in examples/ can be planned where their first lines say to copy them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/study.yaml"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_study_at_its_scale(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("scales", "recipes", "studies", "src"):
        (tmp_path / folder).mkdir()
        for entry in (ROOT / folder).iterdir():
            (tmp_path / folder / entry.name).symlink_to(entry)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    shutil.copytree(ROOT / "examples" / example, tmp_path / "studies" / example)
    (tmp_path / "my-photos").mkdir()
    monkeypatch.chdir(tmp_path)
    scale = re.search(
        r"--config (scale=\w+) 'studies=\[(\w+)\]'", (ROOT / "examples" / example / "study.yaml").read_text()
    )
    assert scale and scale[2] == example
    plan = make_plan(tmp_path, read_config(tmp_path, [scale[1], f"studies={example}"]))
    study = plan.studies[example]
    assert all(not case.gap and not case.cell_gaps for case in study.cases.values())
    assert study.artifacts.keys() == {"table", "pictures"}
