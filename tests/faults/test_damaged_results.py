"""Damaged results are found by their content and remade."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reprior import provenance
from reprior.jobs.workplace import Workplace
from reprior.machine.files import load_arrays
from tests.faults.conftest import CELL, RESULT, files, numbers
from tests.workflow.conftest import Project

pytestmark = pytest.mark.slow


def flip(path: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "data/images/tiny/mine/faces/0000-0001.safetensors": (empty, "is empty"),
    f"{CELL}/observation/0000-0001.safetensors": (flip, "has another content than its job wrote"),
    RESULT.as_posix(): (truncate, "has 53372 of 106744 bytes"),
    f"{CELL}/iagan/0000-0001.json": (flip, "has another content than its job wrote"),
    f"{CELL}/csgm/0000-0001.csv": (flip, "has another content than its job wrote"),
    "results/tiny/metrics.csv": (empty, "is empty"),
    "results/tiny/mine/table.tex": (flip, "has another content than its job wrote"),
}


def workplace(project: Project, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """The workplace of the project. Changes the working folder of this process to it."""
    monkeypatch.chdir(project.folder)
    return Workplace(project.folder, Path("results/tiny"), Path("data/images/tiny"))


def test_every_kind_of_result_is_set_aside_and_made_again(again: Project, finished: Project) -> None:
    for name, (harm, _) in HARM.items():
        harm(again.folder / name)
    harmed = files(again.folder)

    said = again.snakemake("-n")
    for name, (_, fault) in HARM.items():
        assert f"reprior: {name} {fault}; it would be set aside to be made again" in said
    now = files(again.folder)
    assert {name: now[name] for name in HARM} == {name: harmed[name] for name in HARM}
    assert now.keys() == harmed.keys()

    said = again.snakemake()
    for name, (_, fault) in HARM.items():
        assert f"reprior: {name} {fault}; it was set aside to be made again" in said
    made, before = files(again.folder), files(finished.folder)
    assert made.keys() == before.keys()
    for name in HARM:
        if not name.endswith((".json", "csgm/0000-0001.csv", "tiny/metrics.csv")):  # these contain run times
            assert made[name] == before[name], name
    assert numbers(again) == numbers(finished)
    assert "reprior:" not in (said := again.snakemake("-n"))
    assert "Nothing to be done" in said


def test_files_whose_products_are_whole_are_made_again(again: Project, finished: Project) -> None:
    names = ("data/images/tiny/mine/faces/0000-0001.safetensors", f"{CELL}/observation/0000-0001.safetensors")
    for name in names:
        flip(again.folder / name)
    said = again.snakemake()
    for name in names:
        assert f"reprior: {name} has another content than its job wrote" in said
        assert (again.folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert "Nothing to be done" in again.snakemake()


def test_what_looks_unchanged_is_found_by_a_thorough_look(again: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    here = workplace(again, monkeypatch)
    assert here.damaged() == {}  # this also records the new times that Snakemake has set
    seen = RESULT.stat()
    flip(RESULT)
    os.utime(RESULT, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert here.damaged() == {}
    assert here.damaged(thorough=True) == {RESULT: "has another content than its job wrote"}


@pytest.mark.parametrize("how", ["touched", "copied"])
def test_a_file_with_the_same_content_is_no_damage(again: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    here = workplace(again, monkeypatch)
    content = RESULT.read_bytes()
    if how == "copied":
        RESULT.unlink()
        RESULT.write_bytes(content)
    os.utime(RESULT, (1e9, 1e9))
    assert here.damaged() == {}
    record = provenance.read_record(RESULT)
    assert record is not None
    assert provenance.unchanged(RESULT, record["outputs"][RESULT.as_posix()])


def test_a_file_that_was_removed_is_no_damage(again: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (again.folder / RESULT).unlink()
    assert workplace(again, monkeypatch).damaged() == {}


def test_a_result_unknown_to_snakemake_is_kept_if_it_is_what_is_asked_for(again: Project) -> None:
    notes = again.folder / ".snakemake/metadata"
    for path in (RESULT, RESULT.with_suffix(".json")):
        (notes / base64.urlsafe_b64encode(path.as_posix().encode()).decode()).unlink()
    kept = shutil.copytree(again.folder, again.folder.with_name("edited"), copy_function=shutil.copy2)
    made = (again.folder / RESULT).stat().st_ino

    assert f"{RESULT} is unknown to Snakemake; it would be set aside to be checked" in again.snakemake("-n")
    assert f"{RESULT} is unknown to Snakemake; it was set aside to be checked" in again.snakemake()
    assert (again.folder / RESULT).stat().st_ino == made
    assert "Nothing to be done" in again.snakemake()

    edited = Project(Path(kept))
    study = edited.study()
    study["methods"]["csgm"]["steps"] = 7
    edited.write_study(study)
    edited.snakemake()
    assert load_arrays(edited.folder / RESULT)[0]["trace"].shape[1] == 7


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"stage": "observe"}', "\x00\x00", "{"])
def test_a_damaged_record_is_no_record(again: Project, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    here = workplace(again, monkeypatch)
    provenance.record_path(RESULT).write_text(content)
    assert here.damaged(thorough=True) == {}
    assert provenance.sha256_of(RESULT) == provenance.content(RESULT)["sha256"]
