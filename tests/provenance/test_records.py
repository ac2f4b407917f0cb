"""Job records: what they contain, when hashes are taken from them, how broken ones are treated."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reprior import provenance

OUT, BESIDE = Path("out/x.txt"), Path("out/x.json")


@pytest.fixture
def made(job: Callable[..., None]) -> None:
    """One job's two outputs and their record."""
    job("observe", {str(OUT): "made", str(BESIDE): "beside"})


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A list that collects the files that are hashed from now on."""
    read, content = [], provenance.content

    def noting(path: Path) -> dict[str, object]:
        read.append(path)
        return content(path)

    monkeypatch.setattr(provenance, "content", noting)
    return read


def test_the_record_lies_in_a_hidden_folder_beside_the_first_output(made: None) -> None:
    assert provenance.record_path(OUT) == Path("out/.provenance/x.txt.json")
    assert provenance.record_path(OUT).is_file()
    assert list(Path("out/.provenance").iterdir()) == [provenance.record_path(OUT)]


def test_every_output_finds_its_record(made: None, job: Callable[..., None]) -> None:
    job("evaluate", {"out/deep/y.csv": "1"}, inputs=(str(OUT),))
    found = provenance.read_records(Path("out"))
    assert {path: record["stage"] for path, record in found.items()} == {
        "out/x.txt": "observe",
        "out/x.json": "observe",
        "out/deep/y.csv": "evaluate",
    }


def test_a_hash_is_taken_from_the_record_as_long_as_it_holds(made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    known = provenance.content(OUT)["sha256"]
    read = hashed(monkeypatch)
    assert provenance.sha256_of(OUT) == known
    assert read == []


def test_a_touched_file_is_hashed_once(made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(OUT, (1, 1))
    known = provenance.content(OUT)["sha256"]
    read = hashed(monkeypatch)
    assert provenance.sha256_of(OUT) == provenance.sha256_of(OUT) == known
    assert read == [OUT]


def test_a_changed_file_is_hashed_and_keeps_its_record(made: None) -> None:
    before = provenance.record_path(OUT).read_text()
    OUT.write_text("mode")
    os.utime(OUT, (1, 1))
    assert provenance.sha256_of(OUT) == provenance.content(OUT)["sha256"]
    assert provenance.record_path(OUT).read_text() == before


def test_another_users_file_is_hashed_though_its_record_cannot_be_written(
    made: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    os.utime(OUT, (1, 1))
    monkeypatch.setattr(provenance, "write_json", refuse)
    assert provenance.sha256_of(OUT) == provenance.content(OUT)["sha256"]


def test_a_file_without_a_record_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    assert provenance.sha256_of(tmp_path / "x") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"stage": "observe"}', b"\xff\xfe", b"\0\0"])
def test_a_broken_record_is_none(made: None, content: bytes) -> None:
    known = provenance.content(OUT)["sha256"]
    provenance.record_path(OUT).write_bytes(content)
    assert provenance.read_record(OUT) is None
    assert provenance.read_records(Path("out")) == {}
    assert provenance.sha256_of(OUT) == known


def test_what_a_killed_job_left_of_a_record_is_none(made: None) -> None:
    path = provenance.record_path(OUT)
    path.rename(path.with_name(f".{path.name}.abcdefgh.json"))
    assert provenance.read_records(Path("out")) == {}
