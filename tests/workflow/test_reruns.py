"""Real runs of the DAG: a change reruns only what it affects."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from reprior.planning.resolve import make_plan
from tests.workflow.conftest import environment
from tests.workflow.test_own_plugins import write


def test_everything_is_made(finished) -> None:
    results = finished.folder / "results/tiny"
    assert (results / "report/index.html").stat().st_size > 1000
    assert (results / "mine/table.md").is_file()
    with (results / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["study", "case", "method", "image", "metric", "value"]
    cells = Counter((row["method"], row["image"]) for row in rows if row["metric"] == "psnr")
    assert cells == Counter({(m, i): 1 for m in ("up", "csgm", "csgm-bp", "iagan") for i in ("000000", "000001")})


def test_a_second_run_finds_nothing_to_do(finished) -> None:
    assert "Nothing to be done" in finished.snakemake()


def test_a_methods_learning_rate_reruns_its_cells_and_what_hangs_on_them(again) -> None:
    study = again.study()
    study["methods"]["iagan"]["lr_z"] = 2e-4
    again.write_study(study)
    assert again.planned() == Counter(
        {
            ("reconstruct", "iagan"): 2,
            ("evaluate", "iagan"): 2,
            ("aggregate_study", ""): 1,
            ("aggregate", ""): 1,
            ("render_table", "table"): 1,
            ("report", ""): 1,
            ("all", ""): 1,
        }
    )


def test_the_learning_rate_of_a_start_reruns_what_begins_from_it(again) -> None:
    study = again.study()
    study["methods"]["csgm"]["lr"] = 0.05
    again.write_study(study)
    planned = again.planned()
    assert {method for rule, method in planned if rule.startswith("reconstruct")} == {"csgm", "csgm-bp", "iagan"}
    assert ("render_table", "baseline") not in planned
    assert ("observe", "") not in planned


def test_more_images_compute_only_the_new_batch(again) -> None:
    study = again.study()
    study["images"]["faces"]["count"] = 3
    again.write_study(study)
    planned = again.planned()
    assert planned["prepare", ""] == planned["observe", ""] == 1
    assert all(planned["reconstruct", method] == 1 for method in ("csgm", "iagan"))
    assert all(planned["reconstruct_direct", method] == 1 for method in ("up", "csgm-bp"))


def test_a_title_reruns_only_its_table_and_the_report(again) -> None:
    study = again.study()
    study["artifacts"]["baseline"]["title"] = "Another title"
    again.write_study(study)
    assert set(again.planned()) == {("render_table", "baseline"), ("report", ""), ("all", "")}


def test_a_broken_study_stops_before_any_job_with_one_message(again) -> None:
    study = again.study()
    study["cases"]["sr"]["operator"]["scal"] = 4
    again.write_study(study)
    output = again.snakemake(check=False)
    assert "cases.sr.operator.scal: unknown key; did you mean 'scale'?" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("option", [["--summary"], ["--rulegraph"], ["--report", "report.html"]])
def test_snakemakes_own_views_work(finished, option: list[str]) -> None:
    assert finished.snakemake(*option)


def test_the_full_scale_plans_the_whole_study_in_time(root: Path, tmp_path: Path) -> None:
    places = ("--config", "scale=full", "studies=iagan", f"results={tmp_path}", f"data={tmp_path}")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--scheduler", "greedy", "-n", "--nolock", *places]
    began = os.times()
    output = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=True).stdout
    ended = os.times()  # processor time, which other load does not affect
    assert ended.children_user + ended.children_system - began.children_user - began.children_system < 20
    rules = "prepare|observe|reconstruct|reconstruct_direct|evaluate|total"
    counted = dict(re.findall(rf"^({rules}) +(\d+)$", output, re.MULTILINE))
    plan = make_plan(root, {"scale": "full", "studies": ["iagan"]})
    images = plan.studies["iagan"].images.values()
    cases = plan.studies["iagan"].cases.values()
    assert all(case.images.spec.size == 100 for case in cases)
    cells = sum(len(case.cells) * len(case.images.batches) for case in cases)
    assert int(counted["prepare"]) == sum(len(batches.batches) for batches in images)
    assert int(counted["observe"]) == sum(len(case.images.batches) for case in cases)
    assert int(counted["reconstruct"]) + int(counted["reconstruct_direct"]) == int(counted["evaluate"]) == cells
    assert int(counted["total"]) < 2000


def test_folders_of_plugins_that_no_job_uses_rerun_nothing_but_the_report(again) -> None:
    write(again.folder / "own")
    assert set(again.planned("--config", "plugins=[own]")) == {("report", ""), ("all", "")}
    (again.folder / "own/metrics/worst.py").unlink()
    assert not again.planned("--config", "plugins=own")
