"""data/sources.lock: what it records and what it pins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from reprior.acquire.fingerprint import Fingerprint
from reprior.acquire.lock import Lock
from reprior.errors import UserError

Fixture = Any
UNKNOWN = {"size": None, "sha256": None}


@pytest.fixture
def path(raw: Path) -> Path:
    return raw.parent / "sources.lock"


def test_what_was_got_is_recorded(
    server: Fixture, register: Fixture, acquire: Callable, path: Path, toy: Fixture
) -> None:
    url = server.answers(server.file())
    register(urls=[url])
    acquire()
    assert yaml.safe_load(path.read_text()) == {
        toy.name: {
            "file": toy.file,
            "size": toy.size,
            "sha256": toy.sha256,
            "origin": url,
            "licence": "toy licence 1.0",
            "date": date.today().isoformat(),
        }
    }
    written = path.read_bytes()
    acquire()
    assert path.read_bytes() == written


def test_a_file_without_a_hash_is_pinned_on_first_use(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, path: Path, toy: Fixture
) -> None:
    register(urls=[server.answers(server.file())], **UNKNOWN)
    got = acquire()
    got.unlink()
    server.answers(server.file(toy.content[:-1] + b"?"))
    with pytest.raises(UserError, match=f"its sha256 is .* instead of {toy.sha256}") as caught:
        acquire()
    assert "pinned in sources.lock" in str(caught.value) and not got.exists()
    path.unlink()
    acquire()
    assert yaml.safe_load(path.read_text())[toy.name]["sha256"] != toy.sha256


def test_a_pinned_file_is_found_in_a_mirror(
    server: Fixture, register: Fixture, acquire: Callable, tmp_path: Path, toy: Fixture
) -> None:
    register(urls=[server.answers(server.file())], **UNKNOWN)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    acquire().rename(mirror / "any name")
    assert acquire(mirrors=[mirror], offline=True).read_bytes() == toy.content


@pytest.mark.parametrize("place", ["raw/toys/toy.zip", "manual/published.zip"])
def test_a_file_without_a_hash_may_be_placed_by_hand(
    register: Fixture, acquire: Callable, path: Path, toy: Fixture, place: str
) -> None:
    register(urls=["http://127.0.0.1:9/unused"], **UNKNOWN)
    placed = path.parent / place
    placed.parent.mkdir(parents=True)
    placed.write_bytes(toy.content)
    acquire(offline=True)
    entry = yaml.safe_load(path.read_text())[toy.name]
    assert (entry["sha256"], entry["origin"]) == (toy.sha256, f"placed by hand as {placed}")


def test_a_published_hash_wins_over_the_lock(
    server: Fixture, register: Fixture, acquire: Callable, path: Path, toy: Fixture
) -> None:
    Lock(path).record(toy.name, toy.file, Fingerprint(3, "0" * 64, ""), "elsewhere", "toy licence 1.0")
    register(urls=[server.answers(server.file())])
    acquire()
    assert yaml.safe_load(path.read_text())[toy.name]["sha256"] == toy.sha256


@pytest.mark.parametrize("text", ["toys/toy.zip: {", "toys/toy.zip: {size: 3}", "- a", "\xff\xfe\x00"])
def test_a_damaged_lock_is_told(register: Fixture, acquire: Callable, path: Path, text: str) -> None:
    register()
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="sources.lock: is damaged; repair it, or remove it"):
        acquire()


def test_no_entry_is_lost_when_many_write_at_once(path: Path) -> None:
    def record(number: int) -> None:
        Lock(path).record(f"a/{number:02}.jpg", "x.jpg", Fingerprint(1, "0" * 64, ""), "here", "MIT")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(40)))
    assert list(Lock(path).entries()) == [f"a/{number:02}.jpg" for number in range(40)]
