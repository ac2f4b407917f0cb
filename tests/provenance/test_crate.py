"""A finished run as an RO-Crate. The community's validator checks it against its profiles, without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from reprior.acquire.fingerprint import fingerprint
from reprior.acquire.lock import Lock
from reprior.errors import UserError
from reprior.provenance import record_path
from reprior.provenance.crate import copies, write_crate
from reprior.provenance.crate_files import Files

Entity: TypeAlias = dict[str, Any]
Objections: TypeAlias = Callable[..., dict[str, str]]
Run: TypeAlias = Callable[[], dict[str, Entity]]

ADDRESS = "https://example.org/photos.zip"
REPORT = "results/tiny/report/index.html"
NUMBERS = "results/tiny/mine/sr/up/0000-0001.csv"
OUT = Path("results/tiny/ro-crate-metadata.json")
WORKFLOW = ("Snakefile", "config.yaml", "studies/mine/study.yaml", "studies/mine/reported.csv", "CITATION.cff")


@pytest.fixture
def run(job: Callable[..., None]) -> Run:
    """A small finished run. The function writes its crate and returns the entities by name."""
    job("acquire", {"data/raw/photos/photos.zip": "photographs"})
    Lock(Path("data/sources.lock")).record(
        "photos/photos.zip", "photos.zip", fingerprint(Path("data/raw/photos/photos.zip")), ADDRESS, "no redistribution"
    )
    for file in WORKFLOW:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("authors: [{name: The developers}, {given-names: Ada, family-names: Lovelace}]\n")
    batch = "data/images/tiny/mine/faces/0000-0001.safetensors"
    job("prepare", {batch: "images"}, ("data/raw/photos/photos.zip",))
    job("evaluate", {NUMBERS: "numbers"}, (batch,))
    job("render", {"results/tiny/mine/table.json": "{}", "results/tiny/mine/table.md": "|"}, (NUMBERS, WORKFLOW[3]))
    job("report", {REPORT: "<html>"}, ("results/tiny/mine/table.json",))

    def write() -> dict[str, Entity]:
        folders = {"root": Path(), "records": [Path("results"), Path("data")], "raw": Path("data/raw")}
        write_crate([Path(REPORT)], [Path(file) for file in WORKFLOW], **folders, command="snakemake", out=OUT)
        return {entity["@id"]: entity for entity in json.loads(OUT.read_text())["@graph"]}

    return write


UNKNOWN = {
    "ro-crate-1.1_22.3",  # a publisher
    "ro-crate-1.1_28.1",  # whether a download is still at its address: needs a network
    "ro-crate-1.1_30.2",  # the authors' organisation
    "ro-crate-1.1_30.3",  # details of that organisation
    "ro-crate-1.1_31.2",  # a web page of the authors
    "process-run-crate-0.5_3.2",  # a web page of the software
    "process-run-crate-0.5_5.1",  # an address that identifies the software
    "process-run-crate-0.5_8.6",  # who ran the jobs
    "workflow-ro-crate-1.0_6.1",  # a README, which is recommended
    "workflow-ro-crate-1.0_6.2",
}
"""Recommendations that we do not follow, because we do not have the information."""


@pytest.mark.slow
def test_it_conforms_and_follows_every_recommendation_that_can_be_followed(run: Run, objections: Objections) -> None:
    run()
    found = objections(OUT.parent, "RECOMMENDED")
    assert not {check: message for check, message in found.items() if check not in UNKNOWN}


def without(key: str) -> Callable[[Entity], Entity]:
    return lambda entity: {name: value for name, value in entity.items() if name != key}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entity", "edit", "message"),
    [
        ("./", without("license"), "license"),
        ("./", lambda root: root | {"conformsTo": root["conformsTo"][0]}, "Provenance Run Crate profile"),
        (f"#job-{NUMBERS}", without("instrument"), "instrument"),
        (f"#job-{NUMBERS}", lambda job: job | {"duration": 3}, "duration"),
        ("mine/table.md", lambda file: file | {"@id": "mine/table.tex"}, "table.tex"),
    ],
    ids=["no licence", "one profile", "no tool", "unknown word", "no such file"],
)
def test_the_validator_refuses_what_is_broken(
    run: Run, objections: Objections, entity: str, edit: Callable[[Entity], Entity], message: str
) -> None:
    graph = run()
    graph[entity] = edit(graph[entity])
    metadata = json.loads(OUT.read_text()) | {"@graph": list(graph.values())}
    OUT.write_text(json.dumps(metadata).replace('{"@id": "mine/table.md"}', '{"@id": "mine/table.tex"}'))
    assert message in " ".join(objections(OUT.parent).values())


def test_a_result_is_tied_to_its_command_its_code_and_what_it_was_made_from(run: Run) -> None:
    graph = run()
    job = graph[f"#job-{NUMBERS}"]
    assert job["result"] == {"@id": "mine/sr/up/0000-0001.csv"}
    assert job["object"] == {"@id": "#data/images/tiny/mine/faces/0000-0001.safetensors"}
    assert job["description"].startswith(f"python -m reprior evaluate --out {NUMBERS}")
    assert (job["startTime"], job["endTime"]) == ("2026-11-20T17:22:00+00:00", "2026-11-20T17:22:12+00:00")
    tool = graph[job["instrument"]["@id"]]
    assert tool["name"] == "reprior evaluate"
    assert tool["softwareVersion"].startswith("0.1.0, commit c0ffee")
    assert {"@id": tool["@id"]} in graph["workflow/Snakefile"]["hasPart"]


def test_a_download_is_named_by_its_address_and_not_copied(run: Run) -> None:
    graph = run()
    sha256 = fingerprint(Path("data/raw/photos/photos.zip")).sha256
    assert graph[ADDRESS]["license"] == "no redistribution"
    assert graph[ADDRESS]["sha256"] == sha256
    assert {"@id": ADDRESS} in graph["./"]["hasPart"]
    kept = [fingerprint(path).sha256 for path in OUT.parent.rglob("*") if path.is_file()]
    assert sha256 not in kept


def test_a_download_from_a_mirror_on_this_machine_is_named_by_its_public_address(run: Run) -> None:
    lock, name = Lock(Path("data/sources.lock")), "birds/glowip64/0040.jpg"
    path = Path("data/raw") / name
    path.parent.mkdir(parents=True)
    path.write_text("a bird")
    lock.record(name, path.name, fingerprint(path), "/mirror/0040.jpg", "as CUB-200-2011")
    files = Files(OUT.parent, Path("data/raw"), {}, lock.entries())
    assert files.name(path.as_posix()).startswith("https://")
    assert files.name(path.as_posix()).endswith("/0040.jpg")


def test_what_lies_elsewhere_is_named_by_path_and_hash_and_is_no_part(run: Run) -> None:
    graph = run()
    images = "#data/images/tiny/mine/faces/0000-0001.safetensors"
    known = fingerprint(Path("data/images/tiny/mine/faces/0000-0001.safetensors"))
    assert (graph[images]["@type"], graph[images]["sha256"]) == ("CreativeWork", known.sha256)
    assert {"@id": images} not in graph["./"]["hasPart"]


def test_the_crate_holds_what_says_what_was_run(run: Run) -> None:
    graph = run()
    for file in WORKFLOW:
        assert (OUT.parent / "workflow" / file).read_bytes() == Path(file).read_bytes()
        assert {"@id": f"workflow/{file}"} in graph["./"]["hasPart"]
    table = graph["#job-results/tiny/mine/table.json"]
    assert {"@id": "workflow/studies/mine/reported.csv"} in table["object"]
    names = [graph[author["@id"]]["name"] for author in graph["./"]["author"]]
    assert names == ["The developers", "Ada Lovelace"]


def test_the_same_run_gives_the_same_crate(run: Run) -> None:
    run()
    before = OUT.read_bytes()
    run()
    assert OUT.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: Path(NUMBERS).write_text("better numbers"), f"{NUMBERS} is not what its job wrote"),
        (lambda: Path(NUMBERS).unlink(), f"{NUMBERS} is gone"),
        (lambda: record_path(Path(REPORT)).unlink(), f"{REPORT} has no record"),
        (lambda: Path(WORKFLOW[3]).write_text("other numbers"), f"{WORKFLOW[3]} has changed since"),
    ],
    ids=["changed", "gone", "no record", "input changed"],
)
def test_no_crate_is_made_of_what_does_not_belong_together(
    run: Run, damage: Callable[[], object], message: str
) -> None:
    damage()
    with pytest.raises(UserError, match=re.escape(message)):
        run()
    assert not OUT.exists()


def test_plugins_outside_the_project_have_a_place_in_the_crate() -> None:
    found = copies([Path("/project/config.yaml"), Path("/lab/own/methods/mine.py")], Path("/project"), OUT)
    assert list(map(str, found.values())) == [
        "results/tiny/workflow/config.yaml",
        "results/tiny/workflow/elsewhere/lab/own/methods/mine.py",
    ]
