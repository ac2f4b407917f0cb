"""Downloads from a server that misbehaves: one clear message, no wrong file under the final name, and recovery."""

from __future__ import annotations

import gzip
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reprior.errors import UserError

Fixture = Any
QUOTA = "<title>Google Drive - Quota exceeded</title> Sorry, you can't view or download this file at this time."
SCAN = "Google Drive can't scan this file for viruses. <a href='/uc?confirm=t'>Download anyway</a>"

BAD = {
    "quota page": (lambda s: s.page(QUOTA), "a quota page"),
    "virus-scan page": (lambda s: s.page(SCAN), "a virus-scan page"),
    "page that claims to be a file": (lambda s: s.page(QUOTA, kind="application/zip"), "a quota page"),
    "some page": (lambda s: s.page("welcome"), "a web page"),
    "truncated": (lambda s: s.file(until=500_000), "IncompleteRead.*2 times; [0-9,]+ bytes are kept for the next run"),
    "wrong hash": (lambda s: s.file(b"PK" + b"x" * (len(s.body) - 2)), "its sha256 is"),
    "another size": (lambda s: s.file(b"PK" * 100_000), "has 200,000 bytes instead of 1,200,004"),
    "endless": (lambda s: s.file(s.body + b"more", length=False), "more than 1,200,004 bytes"),
    "forbidden": (lambda s: s.status(403), "403 Forbidden"),
    "gone": (lambda s: s.status(404), "404 Not Found"),
    "overloaded": (lambda s: s.status(503), "503 Service Unavailable, 2 times"),
    "stalls at once": (lambda s: s.stall, "nothing came within the time limit"),
    "stalls on the way": (lambda s: s.file(until=500_000, then=s.stall), "nothing came within the time limit"),
    "reset": (lambda s: s.file(until=500_000, ranges=False, then=s.reset), "reset by peer"),
    "redirects in circles": (lambda s: s.status(302, Location="/toy.zip"), "redirects"),
}


def the_file_is_whole(path: Path, toy: Fixture) -> bool:
    """Whether the file is complete, under its name, with nothing left beside it."""
    return path.read_bytes() == toy.content and [p.name for p in path.parent.iterdir()] == ["toy.zip"]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_answer_is_told_and_the_next_run_recovers(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture, bad: str
) -> None:
    behaviour, told = BAD[bad]
    url = server.answers(behaviour(server))
    register(urls=[url])
    with pytest.raises(UserError, match=told) as caught:
        acquire()
    message = str(caught.value)
    for fact in (toy.name, toy.file, f"{toy.size:,}", toy.sha256, url, "toy licence 1.0", f"{raw.parent / 'manual'}"):
        assert fact in message
    assert not (raw / toy.name).exists()
    server.answers(server.file())
    assert the_file_is_whole(acquire(), toy)


def test_a_login_page_is_told_by_where_it_is(server: Fixture, register: Fixture, acquire: Callable) -> None:
    server.answers(server.page("<form>Sign in to go on</form>"), "/accounts/login")
    register(urls=[server.answers(server.status(302, Location="/accounts/login"))])
    with pytest.raises(UserError, match=r"a login page \(redirected to http://127.*/accounts/login\)"):
        acquire()


def test_it_looks_like_a_browser(server: Fixture, register: Fixture, acquire: Callable, toy: Fixture) -> None:
    register(urls=[server.answers(server.only_for_browsers(server.file()))])
    assert the_file_is_whole(acquire(), toy)


def test_the_next_mirror_is_asked(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture, capsys: pytest.CaptureFixture
) -> None:
    first, second = server.answers(server.status(404), "/gone"), server.answers(server.file())
    register(urls=[first, second])
    assert the_file_is_whole(acquire(), toy)
    assert f"{first}: the server answered 404 Not Found" in capsys.readouterr().err


def test_a_wrong_file_leaves_the_next_mirror_its_chance(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    wrong = server.answers(server.file(bytes(toy.size)), "/wrong")
    register(urls=[wrong, server.answers(server.file())])
    assert the_file_is_whole(acquire(), toy)


def test_after_a_reset_it_goes_on_by_range(server: Fixture, register: Fixture, acquire: Callable, toy: Fixture) -> None:
    cut = server.file(until=700_000, then=server.reset)
    register(urls=[server.answers(server.in_turn(cut, server.file()))])
    assert the_file_is_whole(acquire(), toy)
    first, second = server.ranges
    assert first is None and 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 700_000


def test_an_end_without_a_length_is_noticed(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    cut = server.file(until=700_000, length=False)
    register(urls=[server.answers(server.in_turn(cut, server.file()))])
    assert the_file_is_whole(acquire(), toy)
    assert server.ranges == [None, "bytes=700000-"]


def test_progress_renews_patience(server: Fixture, register: Fixture, acquire: Callable, toy: Fixture) -> None:
    cuts = [server.file(until=200_000 * n) for n in range(1, 6)]
    register(urls=[server.answers(server.in_turn(*cuts, server.file()))])
    assert the_file_is_whole(acquire(), toy)
    assert len(server.ranges) == 6


def test_a_later_run_goes_on_where_an_earlier_one_stopped(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture
) -> None:
    register(urls=[server.answers(server.file(until=700_000))])
    with pytest.raises(UserError):
        acquire()
    (part,) = (raw / toy.name).parent.iterdir()
    assert toy.content.startswith(part.read_bytes())
    size = part.stat().st_size
    assert size > 600_000
    server.asked.clear()
    server.answers(server.file())
    assert the_file_is_whole(acquire(), toy)
    assert server.ranges == [f"bytes={size}-"]


def test_a_whole_part_needs_no_network(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture
) -> None:
    register(urls=[server.answers(server.file(until=toy.size - 1000))])
    with pytest.raises(UserError):
        acquire()
    next((raw / toy.name).parent.iterdir()).write_bytes(toy.content)
    server.asked.clear()
    assert the_file_is_whole(acquire(), toy)
    assert server.asked == []


@pytest.mark.parametrize("size", [700_000, 1_200_004, 1_500_000])
def test_a_part_that_is_damaged_is_not_gone_on_from(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture, size: int
) -> None:
    register(urls=[server.answers(server.file(until=700_000))])
    with pytest.raises(UserError):
        acquire()
    next((raw / toy.name).parent.iterdir()).write_bytes(bytes(size))
    server.answers(server.file())
    assert the_file_is_whole(acquire(), toy)


def test_a_part_belongs_to_its_address_and_hash(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    register(urls=[server.answers(server.file(until=700_000))], sha256="0" * 64)
    with pytest.raises(UserError):
        acquire()
    server.asked.clear()
    register(urls=[server.answers(server.file())])
    acquire()
    assert server.ranges == [None]


def test_a_server_without_ranges_is_asked_for_everything_again(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    cut = server.file(until=700_000)
    register(urls=[server.answers(server.in_turn(cut, server.file(ranges=False)))])
    assert the_file_is_whole(acquire(), toy)


def test_a_server_that_sends_another_range_is_not_believed(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    def other_range(handler: Any) -> None:
        handler.headers.replace_header("Range", "bytes=5-")
        server.file()(handler)

    cut = server.file(until=700_000)
    register(urls=[server.answers(server.in_turn(cut, other_range, server.file()))])
    assert the_file_is_whole(acquire(), toy)


def test_nobody_answers(register: Fixture, acquire: Callable, raw: Path, toy: Fixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/toy.zip"
        register(urls=[url])
        with pytest.raises(UserError, match=r"no connection \(.*[Rr]efused") as caught:
            acquire()
    assert url in str(caught.value)
    assert not any((raw / toy.name).parent.iterdir())


def test_no_network(register: Fixture, acquire: Callable, raw: Path, toy: Fixture) -> None:
    register(urls=["http://no-such-host.invalid/toy.zip"])
    with pytest.raises(UserError, match=r"no connection \(.*no-such-host\.invalid"):
        acquire()
    assert not (raw / toy.name).exists()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_packed_file_is_not_unpacked_on_the_way(
    server: Fixture, register: Fixture, acquire: Callable, encoding: str
) -> None:
    packed = gzip.compress(b"digits" * 1000)
    url = server.answers(server.file(packed, encoding=encoding))
    register(urls=[url], file="digits.gz", size=len(packed), sha256=hashlib.sha256(packed).hexdigest())
    assert acquire().read_bytes() == packed


def test_what_one_mirror_had_begun_goes_when_another_has_it(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    slow = server.answers(server.file(until=700_000), "/slow")
    register(urls=[slow, server.answers(server.file())])
    assert the_file_is_whole(acquire(), toy)
