"""The study can be planned, and each of its cases is computed. Run this from the project's folder."""

from __future__ import annotations

from pathlib import Path

from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config


def test_every_case_is_computed() -> None:
    plan = make_plan(Path(), read_config(Path(), ["studies=new-study"]))
    study = plan.studies["new-study"]
    assert study.artifacts
    assert all(case.gap is None and case.cells for case in study.cases.values())
