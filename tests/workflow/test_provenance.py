"""`reprior trace` and `snakemake crate` show how everything in the finished tiny project was made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from reprior.provenance import sha256_of
from tests.workflow.conftest import Project

SR = "results/tiny/mine/sr"


def trace(project: Project, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "reprior", "trace", *arguments],
        cwd=project.folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_a_cell_goes_back_to_its_images_and_weights(finished: Project) -> None:
    text = trace(finished, "mine/sr/iagan", "--all")
    assert "shown in results/tiny/mine/table.csv" in text
    for batch in ("0000-0000", "0001-0001"):
        made = [
            f"evaluate  {SR}/iagan/{batch}.csv",
            f"reconstruct  {SR}/iagan/{batch}.safetensors",
            f"reconstruct  {SR}/csgm/{batch}.safetensors",
            f"observe  {SR}/observation/{batch}.safetensors",
            f"prepare  data/images/tiny/mine/faces/{batch}.safetensors",
        ]
        assert [line for line in made if line in text] == made
    assert f"given  tiny.safetensors  sha256 {sha256_of(finished.folder / 'tiny.safetensors')[:12]}" in text
    assert text.splitlines()[-1] == "every link holds (10 jobs)"


def test_every_file_of_the_report_can_be_traced(finished: Project) -> None:
    assert trace(finished, "results/tiny/report/index.html").splitlines()[-1].startswith("every link holds")


def test_a_told_command_makes_the_same_file_again(again: Project) -> None:
    numbers = again.folder / SR / "iagan/0000-0000.csv"
    (command,) = re.findall(r"\$ (python -m reprior evaluate .*)", trace(again, f"{SR}/iagan/0000-0000.csv"))
    before = numbers.read_bytes()
    numbers.unlink()
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, cwd=again.folder, check=True)
    assert numbers.read_bytes() == before
    assert trace(again, "mine/sr/iagan").splitlines()[-1].startswith("every link holds")


def test_a_file_that_was_tampered_with_is_named(again: Project) -> None:
    file = f"{SR}/csgm/0001-0001.safetensors"
    with (again.folder / file).open("ab") as opened:
        opened.write(b"!")
    *_, advice = text = trace(again, "mine/sr/iagan").splitlines()
    assert f"BROKEN  {file} is not what its job wrote" in text
    assert advice.endswith(f"--forcerun {file}")
    assert trace(again, "mine/sr/up").splitlines()[-1].startswith("every link holds")


@pytest.mark.slow
def test_a_finished_run_is_an_ro_crate(again: Project, objections: Callable[..., dict[str, str]]) -> None:
    again.snakemake("crate")
    crate = again.folder / "results/tiny"
    assert not objections(crate)
    graph = {entity["@id"]: entity for entity in json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]}
    job = graph[f"#job-{SR}/iagan/0000-0000.safetensors"]
    assert {"@id": "mine/sr/csgm/0000-0000.safetensors"} in job["object"]
    assert graph["mine/sr/iagan/0000-0000.safetensors"]["sha256"] == sha256_of(
        crate / "mine/sr/iagan/0000-0000.safetensors"
    )
    assert "Nothing to be done" in again.snakemake("crate")
    assert "Nothing to be done" in again.snakemake()
