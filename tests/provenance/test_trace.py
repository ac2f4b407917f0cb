"""`reprior trace` on hand-written records: what it shows, and that it finds every broken link."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from reprior.acquire.fingerprint import fingerprint
from reprior.acquire.lock import Lock
from reprior.errors import UserError
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.provenance import record_path
from reprior.provenance.trace import trace

STUDY: dict[str, Any] = {
    "title": "A study",
    "images": {"faces": {"dataset": {"name": "faces-drawn"}, "count": 2}},
    "generators": {"began": {"name": "began", "size": 64, "channels": 4, "weights": "own.safetensors"}},
    "methods": {
        "csgm": {"name": "csgm", "label": "CSGM"},
        "iagan": {"name": "iagan", "label": "IAGAN", "start": "csgm"},
        "bm3d": {"name": "bm3d", "label": "BM3D"},
    },
    "metrics": [{"name": "psnr"}],
    "cases": {
        "sr": {
            "label": "SR x4",
            "images": "faces",
            "generator": "began",
            "operator": {"name": "bicubic", "scale": 4},
            "methods": {"csgm": None, "iagan": None, "bm3d": None},
        },
        "large": {
            "label": "Large",
            "images": "faces",
            "generator": "began",
            "operator": {"name": "bicubic", "scale": 4},
            "methods": {"csgm": None},
        },
    },
    "artifacts": {
        "table": {"kind": "table", "title": "Table 1", "cases": ["sr"], "methods": ["iagan"], "metrics": ["psnr"]},
        "rest": {"kind": "table", "title": "Rest", "cases": ["sr"], "methods": ["csgm"], "metrics": ["psnr"]},
    },
}
SCALE = {"title": "Tiny", "gaps": {"mine": {"large": "it is too large"}}}
SR = "results/tiny/mine/sr"
RAW = "data/raw/photos/photos.zip"
BATCHES = ("0000-0000", "0001-0001")
Run: TypeAlias = Callable[..., str]


def images(batch: str) -> str:
    return f"data/images/tiny/mine/faces/{batch}.safetensors"


@pytest.fixture
def run(job: Callable[..., None], package: Callable[..., None]) -> Run:
    """Makes the records of a finished run. Returns a function that traces a target in it."""
    package("bm3d", installed=False)
    job("acquire", {RAW: "photographs"})
    name = RAW.removeprefix("data/raw/")
    Lock(Path("data/sources.lock")).record(name, "p.zip", fingerprint(Path(RAW)), "https://photos.org/p.zip", "CC BY")
    Path("own.safetensors").write_text("weights")
    for batch in BATCHES:
        job("prepare", {images(batch): f"images {batch}"}, (RAW,))
        job("observe", {f"{SR}/observation/{batch}.safetensors": f"y {batch}"}, (images(batch),))
        solve(job, "csgm", batch)
        solve(job, "iagan", batch, start=(f"{SR}/csgm/{batch}.safetensors",))
    for artifact, method in (("table", "iagan"), ("rest", "csgm")):
        numbers = tuple(f"{SR}/{method}/{batch}.csv" for batch in BATCHES)
        job("render", {f"results/tiny/mine/{artifact}{suffix}": artifact for suffix in (".json", ".md")}, numbers)
    plan = planned()
    return lambda target, every=False: trace(target, plan, Path(), every)


def solve(job: Callable[..., None], method: str, batch: str, start: tuple[str, ...] = (), result: str = "x") -> None:
    stem = f"{SR}/{method}/{batch}"
    made = {f"{stem}.safetensors": f"{method} {batch} {result}", f"{stem}.json": "{}"}
    settings = {"method": {"name": method, "steps": 40}}
    inputs = (f"{SR}/observation/{batch}.safetensors", *start, "own.safetensors")
    job("reconstruct", made, inputs, device="an H200", settings=settings)
    job("evaluate", {f"{stem}.csv": f"{method} {batch} {result}"}, (*made, images(batch)))


def planned() -> Plan:
    for path, content in (("studies/mine/study.yaml", STUDY), ("scales/tiny.yaml", SCALE)):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text(yaml.safe_dump(content))
    return make_plan(Path(), {"scale": "tiny", "studies": ["mine"], "images_per_job": 1})


def test_a_cell_goes_back_to_its_downloads_and_weights(run: Run) -> None:
    text = run("mine/sr/iagan")
    assert text.startswith("mine/sr/iagan: IAGAN on SR x4 (Tiny)\nshown in results/tiny/mine/table.json, ")
    order = [
        f"evaluate  {SR}/iagan/0000-0000.csv",
        f"reconstruct  {SR}/iagan/0000-0000.safetensors",
        f"reconstruct  {SR}/csgm/0000-0000.safetensors",
        f"observe  {SR}/observation/0000-0000.safetensors",
        f"prepare  {images(BATCHES[0])}",
        f"acquire  {RAW}",
        "given  own.safetensors  sha256 ",
    ]
    places = [text.index(file) for file in order]
    assert places == sorted(places)
    assert "every link holds (11 jobs)" in text.splitlines()[-1]


def test_a_step_is_told_with_hash_device_settings_and_command(run: Run) -> None:
    text = run("mine/sr/iagan")
    (step,) = re.findall(rf"reconstruct  {SR}/iagan/0000-0000.safetensors(?:.*\n)*?.*\$ .*", text)
    file = Path(f"{SR}/iagan/0000-0000.safetensors")
    assert f"{file}  sha256 {fingerprint(file).sha256[:12]}" in step
    assert "2026-11-20 17:25 UTC, 12.3 s on an H200, commit c0ffee000000, code 000000000000" in step
    assert "iagan: steps 40" in step
    assert f"$ python -m reprior reconstruct --out {SR}/iagan/0000-0000.safetensors" in step


def test_a_download_is_told_with_origin_and_licence(run: Run) -> None:
    text = run("mine/sr/iagan")
    assert "p.zip from https://photos.org/p.zip" in text
    assert "licence: CC BY" in text


def test_one_batch_stands_for_all_unless_all_are_asked_for(run: Run) -> None:
    assert f"{SR}/iagan/0001-0001.csv  sha256" not in run("mine/sr/iagan")
    assert "and 1 more of evaluate" in run("mine/sr/iagan")
    everything = run("mine/sr/iagan", every=True)
    assert f"{SR}/iagan/0001-0001.csv  sha256" in everything
    assert "more of" not in everything


def test_what_several_steps_read_is_drawn_once(run: Run) -> None:
    text = run("mine/sr/iagan")
    assert text.count(f"observe  {SR}/observation/0000-0000.safetensors") == 2
    assert text.count(f"observe  {SR}/observation/0000-0000.safetensors  as above") == 1


def test_an_artifact_and_any_file_can_be_traced(run: Run, tmp_path: Path) -> None:
    assert run("mine/table").startswith("mine/table: Table 1 (Tiny)")
    by_name = run(f"{SR}/csgm/0001-0001.csv")
    assert f"prepare  {images(BATCHES[1])}" in by_name
    assert run(f"./{SR}/csgm/0001-0001.csv") == by_name
    assert run(str(tmp_path / SR / "csgm/0001-0001.csv")) == by_name


def damaged(file: str, text: str = "tampered") -> Callable[[Any], None]:
    return lambda job: Path(file).write_text(text) and None


LAST = BATCHES[1]


@pytest.mark.parametrize(
    ("damage", "message", "remake"),
    [
        (
            damaged(f"{SR}/iagan/{LAST}.csv"),
            f"{SR}/iagan/{LAST}.csv is not what its job wrote",
            f"{SR}/iagan/{LAST}.csv",
        ),
        (damaged(images(LAST)), f"{images(LAST)} is not what its job wrote", images(LAST)),
        (damaged(RAW), f"{RAW} is not what its job wrote", RAW),
        (damaged("results/tiny/mine/table.md"), "table.md is not what its job wrote", "results/tiny/mine/table.md"),
        (damaged("own.safetensors"), "own.safetensors has changed since", f"{SR}/csgm/{LAST}.safetensors"),
        (lambda job: Path(images(LAST)).unlink(), f"{images(LAST)} is gone", images(LAST)),
        (
            lambda job: Path("own.safetensors").unlink(),
            "own.safetensors is gone since",
            f"{SR}/csgm/{LAST}.safetensors",
        ),
        (
            lambda job: solve(job, "csgm", LAST, result="better"),
            f"{SR}/csgm/{LAST}.safetensors was remade after {SR}/iagan/{LAST}.safetensors was made from it",
            f"{SR}/iagan/{LAST}.safetensors",
        ),
        (
            lambda job: solve(job, "iagan", LAST, (f"{SR}/csgm/{LAST}.safetensors",), "better"),
            f"{SR}/iagan/{LAST}.csv was remade after results/tiny/mine/table.json was made from it",
            "results/tiny/mine/table.json",
        ),
    ],
    ids=[
        *("numbers", "images", "download", "table", "own weights", "images gone", "own weights gone"),
        *("start remade", "numbers remade"),
    ],
)
def test_a_broken_link_is_found_though_it_is_not_shown(
    run: Run, job: Callable[..., None], damage: Callable[[Any], None], message: str, remake: str
) -> None:
    damage(job)
    *_, advice = text = run("mine/sr/iagan").splitlines()
    assert [line for line in text if line.startswith("BROKEN") and message in line]
    assert "--config scale=tiny --forcerun " in advice
    assert remake in advice.split()
    assert "every" not in advice


def test_damage_elsewhere_is_not_reported(run: Run) -> None:
    Path("results/tiny/mine/rest.md").write_text("tampered")
    Path(f"{SR}/iagan/{LAST}.csv").write_text("tampered")
    assert "every link holds" in run(f"{SR}/csgm/{LAST}.csv").splitlines()[-1]


def test_a_copied_or_touched_file_is_known_by_its_hash(run: Run) -> None:
    os.utime(images(LAST), ns=(1, 1))
    assert "every link holds" in run("mine/sr/iagan").splitlines()[-1]


def test_what_was_made_before_there_were_records_is_told(run: Run) -> None:
    record_path(Path(f"{SR}/observation/{LAST}.safetensors")).unlink()
    assert f"given  {SR}/observation/{LAST}.safetensors" in run("mine/sr/iagan", every=True)
    last = run("mine/sr/iagan").splitlines()[-1]
    assert last == (
        f"every recorded link holds; made before there were records, or by hand: {SR}/observation/{LAST}.safetensors"
    )


def test_what_is_not_made_yet_is_told_with_the_command_that_makes_it(run: Run) -> None:
    numbers = Path(f"{SR}/iagan/{LAST}.csv")
    numbers.unlink()
    for output in (numbers, Path("results/tiny/mine/table.json")):
        record_path(output).unlink()
    last = run("mine/sr/iagan").splitlines()[-1]
    assert last == f"not made yet: snakemake --cores all --config scale=tiny {numbers}"


def test_an_edited_source_is_told(run: Run, job: Callable[..., None]) -> None:
    job("prepare", {images(LAST): f"images {LAST}"}, (RAW,), commit="c0ffee" + 34 * "0" + "-dirty")
    assert "commit c0ffee000000-dirty" in run(images(LAST))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mine/sr/iagn", "did you mean 'mine/sr/iagan'?"),
        ("mine/tabel", "did you mean 'mine/table'?"),
        ("results/tiny/mine/none.csv", "is neither study/case/method, study/artifact nor a file"),
        ("other/sr/csgm", "the study other is not configured (studies: mine); give it: --config studies=other"),
        ("mine/sr/bm3d", "is not computed at scale tiny: the package bm3d is not installed"),
        ("mine/large/csgm", "is not computed at scale tiny: it is too large"),
    ],
)
def test_an_unknown_target_is_told(run: Run, target: str, message: str) -> None:
    Path("studies/other").mkdir(parents=True)
    Path("studies/other/study.yaml").touch()
    with pytest.raises(UserError, match=re.escape(message)):
        run(target)
