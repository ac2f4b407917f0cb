"""Google Drive through gdown: how gdown is called. Each of its failures is reported, and the next run recovers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdown
import pytest
import requests
from gdown.exceptions import DownloadError, FileURLRetrievalError

from reprior.errors import UserError

Fixture = Any
ID = "0B7EVK8r0v71pZjFTYXZWM3FlRnM"
QUOTA = """Failed to retrieve file url:

\tToo many users have viewed or downloaded this file recently. Please
\ttry accessing the file again later.

You may still be able to access the file from the browser:

\thttps://drive.google.com/uc?id=x

but Gdown can't. Please check connections and permissions."""


class Drive:
    """Replaces gdown.download: like gdown, writes a part file first, then the file."""

    signature = inspect.signature(gdown.download)

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.body = b""
        self.error: Exception | None = None

    def __call__(self, **arguments: Any) -> str | None:
        self.signature.bind(**arguments)
        self.calls.append(arguments)
        output = Path(arguments["output"])
        assert not output.exists()
        parts = [path for path in output.parent.iterdir() if path.name.startswith(output.name)]
        assert len(parts) <= 1
        part = parts[0] if parts else output.with_name(f"{output.name}abcd1234.part")
        part.write_bytes(self.body)
        arguments["progress"](len(self.body), None)
        if self.error is not None:
            raise self.error
        part.rename(output)
        return str(output)


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch, register: Fixture) -> Drive:
    drive = Drive()
    monkeypatch.setattr(gdown, "download", drive)
    register(gdrive=ID)
    return drive


def test_it_is_asked_without_cookies_and_with_limits(drive: Drive, acquire: Callable, toy: Fixture) -> None:
    drive.body = toy.content
    path = acquire()
    assert path.read_bytes() == toy.content
    assert [p.name for p in path.parent.iterdir()] == ["toy.zip"]
    assert path.stat().st_mode & 0o777 == 0o644
    (call,) = drive.calls
    assert call["id"] == ID and call["use_cookies"] is False and call["retries"] > 0 and all(call["timeout"])
    assert Path(call["output"]).name != "toy.zip"


FAILURES = {
    "quota": (FileURLRetrievalError(QUOTA), "too many have downloaded the file; try again in a day"),
    "permission": (FileURLRetrievalError("Cannot retrieve the public link of the file."), "Cannot retrieve the public"),
    "incomplete": (DownloadError("Download is incomplete: received 5 bytes"), "Download is incomplete"),
    "no network": (requests.ConnectionError("Failed to resolve 'drive.google.com'"), "Failed to resolve"),
    "timeout": (requests.ReadTimeout("Read timed out."), "nothing came within the time limit"),
    "unexpected page": (AssertionError(), r"gdown failed \(AssertionError\)"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_told_and_the_next_run_recovers(
    drive: Drive, acquire: Callable, raw: Path, toy: Fixture, failure: str
) -> None:
    drive.error, told = FAILURES[failure]
    drive.body = toy.content[:500]
    with pytest.raises(UserError, match=told) as caught:
        acquire()
    message = str(caught.value)
    assert f"https://drive.google.com/uc?id={ID}" in message and toy.sha256 in message and "\t" not in message
    assert not (raw / toy.name).exists()
    drive.error, drive.body = None, toy.content
    assert acquire().read_bytes() == toy.content
    assert [p.name for p in (raw / "toys").iterdir()] == ["toy.zip"]


WRONG = {
    "virus-scan page": (b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", "it is a virus-scan page"),
    "quota page": (b"<html><title>Google Drive - Quota exceeded</title></html>", "it is a quota page"),
    "login page": (b"<!doctype html><html><head>Sign in - Google Accounts", "it is a login page"),
    "truncated": (b"PK\x03\x04", "it has 4 bytes instead of 1,200,004"),
    "wrong hash": (bytes(1_200_004), "its sha256 is"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_it_writes_is_verified(drive: Drive, acquire: Callable, raw: Path, toy: Fixture, wrong: str) -> None:
    drive.body, told = WRONG[wrong]
    with pytest.raises(UserError, match=told):
        acquire()
    assert list((raw / "toys").iterdir()) == []
    drive.body = toy.content
    assert acquire().read_bytes() == toy.content


def test_it_is_asked_after_the_mirrors(
    drive: Drive, server: Fixture, register: Fixture, acquire: Callable, toy: Fixture
) -> None:
    register(gdrive=ID, urls=[server.answers(server.status(404))])
    drive.body = toy.content
    assert acquire().read_bytes() == toy.content
    assert len(server.asked) == 1 and len(drive.calls) == 1


@pytest.mark.parametrize("left", ["", "wxyz5678.part"])
def test_left_files_of_a_killed_run_do_not_confuse_it(
    drive: Drive, acquire: Callable, raw: Path, toy: Fixture, left: str
) -> None:
    drive.error = DownloadError("Download is incomplete")
    with pytest.raises(UserError):
        acquire()
    output = Path(drive.calls[0]["output"])
    output.with_name(f"{output.name}{left}").write_bytes(b"whole, or so it seems; or a second part")
    drive.error, drive.body = None, toy.content
    assert acquire().read_bytes() == toy.content
    assert [p.name for p in (raw / "toys").iterdir()] == ["toy.zip"]


def test_it_writes_nothing(
    acquire: Callable, register: Fixture, monkeypatch: pytest.MonkeyPatch, raw: Path, toy: Fixture
) -> None:
    register(gdrive=ID)
    monkeypatch.setattr(gdown, "download", lambda **_: None)
    with pytest.raises(UserError, match="gdown wrote no file"):
        acquire()
    assert not (raw / toy.name).exists()


def test_a_full_disk_is_not_taken_for_a_failure_of_drive(drive: Drive, acquire: Callable) -> None:
    drive.error = OSError(28, "No space left on device")
    with pytest.raises(UserError, match="cannot be stored: .*No space left on device"):
        acquire()
