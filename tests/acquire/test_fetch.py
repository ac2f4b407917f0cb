"""Where a download is looked for, in which order, and the message if it is not found."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from reprior.acquire.fetch import acquire as acquire_any
from reprior.acquire.fingerprint import fingerprint
from reprior.acquire.mirrors import copy
from reprior.acquire.part import Part, unfinished
from reprior.acquire.registry import sources
from reprior.errors import UserError

Fixture = Any


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_is_in_its_place_is_left_alone(register: Fixture, acquire: Callable, raw: Path, toy: Fixture) -> None:
    register(urls=["http://127.0.0.1:9/unused"])
    path = put(raw / toy.name, toy.content)
    before = path.stat().st_mtime_ns
    assert acquire() == path
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("place", ["data/raw/toys/published.zip", "data/manual/published.zip", "data/manual/a/b.bin"])
def test_what_was_put_beside_or_into_manual_is_taken(
    register: Fixture, acquire: Callable, tmp_path: Path, toy: Fixture, place: str
) -> None:
    register()
    put(tmp_path / place, toy.content)
    assert acquire(offline=True).read_bytes() == toy.content


def test_a_wrong_file_in_its_place_is_renamed_and_told(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture, capsys: pytest.CaptureFixture
) -> None:
    register(urls=[server.answers(server.file())])
    for name in ("toy.zip.wrong", "toy.zip.wrong1"):
        put(raw / toy.name, b"precious")
        assert acquire().read_bytes() == toy.content
        assert (raw / "toys" / name).read_bytes() == b"precious"
        told = capsys.readouterr().err
        assert "it has 8 bytes instead of 1,200,004" in told and f"renamed to {name}" in told


def test_a_wrong_file_in_manual_is_told_and_left(
    register: Fixture, acquire: Callable, tmp_path: Path, toy: Fixture
) -> None:
    register()
    wrong = put(tmp_path / "data" / "manual" / toy.file, toy.content[:-1])
    with pytest.raises(UserError, match=rf"{wrong}: not the right file: it has 1,200,003 bytes"):
        acquire(offline=True)
    assert wrong.exists()


def test_a_mirror_is_searched_by_hash_and_not_by_name(
    register: Fixture, acquire: Callable, raw: Path, tmp_path: Path, toy: Fixture
) -> None:
    register(urls=["http://127.0.0.1:9/unused"])
    put(tmp_path / "mirror" / toy.file, bytes(toy.size))
    put(tmp_path / "mirror" / "deep" / "down" / "odd name", toy.content)
    assert acquire(mirrors=[tmp_path / "mirror"]).read_bytes() == toy.content
    assert (tmp_path / "mirror" / "deep" / "down" / "odd name").exists()
    assert [path.name for path in (raw / "toys").iterdir()] == ["toy.zip"]


def test_mirrors_are_relative_to_the_working_directory(
    register: Fixture, acquire: Callable, tmp_path: Path, toy: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    put(tmp_path / "mirror" / "x", toy.content)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert acquire(mirrors=[Path("../mirror")], offline=True).read_bytes() == toy.content


def test_a_mirror_that_is_not_there_is_told(register: Fixture, acquire: Callable, tmp_path: Path) -> None:
    register()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        acquire(mirrors=[tmp_path / "none", tmp_path / "empty"], offline=True)
    assert f"mirror {tmp_path / 'none'}: there is no such folder" in str(caught.value)
    assert f"mirror {tmp_path / 'empty'}: nothing of the right size and hash" in str(caught.value)


def test_pipes_loops_and_dangling_links_in_a_mirror_are_passed_by(
    register: Fixture, acquire: Callable, tmp_path: Path, toy: Fixture
) -> None:
    register()
    mirror = put(tmp_path / "mirror" / "z", toy.content).parent
    os.mkfifo(mirror / "a-pipe")
    (mirror / "b-loop").symlink_to(mirror)
    (mirror / "c-dangling").symlink_to(mirror / "nothing")
    assert acquire(mirrors=[mirror], offline=True).read_bytes() == toy.content


def test_a_file_that_changes_while_it_is_copied_is_not_taken(tmp_path: Path, register: Fixture, toy: Fixture) -> None:
    path = put(tmp_path / "x", toy.content)
    expected = fingerprint(path)
    path.write_bytes(b"other")
    with pytest.raises(UserError, match="changed while it was copied"):
        copy(path, tmp_path / "y", expected)
    assert not (tmp_path / "y").exists()


def test_offline_opens_no_socket(
    server: Fixture, register: Fixture, acquire: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.answers(server.file())
    register(urls=[url], gdrive="x" * 28)

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, opened)
    with pytest.raises(UserError, match="the network was not used: offline") as caught:
        acquire(offline=True)
    assert url in str(caught.value) and f"https://drive.google.com/uc?id={'x' * 28}" in str(caught.value)
    assert server.asked == []


def test_what_is_known_by_md5_alone(server: Fixture, register: Fixture, acquire: Callable, toy: Fixture) -> None:
    url = server.answers(server.file(bytes(toy.size)))
    register(urls=[url], sha256=None, md5=toy.md5)
    with pytest.raises(UserError, match=f"its md5 is [0-9a-f]+ instead of {toy.md5}"):
        acquire()
    server.answers(server.file())
    assert acquire().read_bytes() == toy.content


def test_what_is_known_by_the_first_digits(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture, tmp_path: Path
) -> None:
    facts = {"urls": [server.answers(server.file())], "size": None, "sha256": None}
    register(**facts, sha256_prefix="0" * 8)
    with pytest.raises(UserError, match=f"its sha256 is {toy.sha256} instead of 00000000"):
        acquire()
    register(**facts, sha256_prefix=toy.sha256[:8])
    put(tmp_path / "mirror" / "wrong.zip", b"PK\x03\x04" + bytes(1_200_000))
    put(tmp_path / "mirror" / "x", toy.content)
    assert acquire(mirrors=[tmp_path / "mirror"], offline=True).read_bytes() == toy.content


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"PK\x03\x04", "only 4 bytes"), (bytes(2_000_000), "does not start like a .zip file")],
)
def test_without_a_hash_it_must_at_least_look_right(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture, content: bytes, told: str
) -> None:
    register(urls=[server.answers(server.file(content))], size=None, sha256=None)
    with pytest.raises(UserError, match=told):
        acquire()
    assert list((raw / "toys").iterdir()) == []


def test_one_process_at_a_time(server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture) -> None:
    source = register(urls=[server.answers(server.file())])
    variant = source.accepts[0]
    with (
        Part(unfinished(variant.urls[0], variant, raw / toy.name, ".part")),
        pytest.raises(UserError, match="another process is downloading this"),
    ):
        acquire()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk at data/."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a tmpfs")
    folder = tmp_path / "data"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.mark.parametrize("announced", [True, False])
def test_a_full_disk(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture, mounted: Callable, announced: bool
) -> None:
    folder = mounted("size=800k")
    url = server.answers(server.file(length=announced))
    register(urls=[url], **({} if announced else {"size": None}))
    with pytest.raises(UserError, match="No space left on device; free some space and run again"):
        acquire()
    assert not (folder / "raw" / toy.name).exists()
    subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
    assert acquire().read_bytes() == toy.content
    assert len(server.ranges) == (1 if announced else 2)


def test_a_full_disk_while_copying(
    register: Fixture, acquire: Callable, tmp_path: Path, toy: Fixture, mounted: Callable
) -> None:
    register()
    folder = mounted("size=800k")
    put(tmp_path / "mirror" / "x", toy.content)
    with pytest.raises(UserError, match="no space left on its disk"):
        acquire(mirrors=[tmp_path / "mirror"])
    assert [path for path in (folder / "raw").rglob("*") if path.is_file()] == []


def test_a_full_disk_where_nothing_can_be_mounted(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(urls=[server.answers(server.file())])
    append = Part.append

    def full(part: Part, data: bytes) -> None:
        if part.size > 500_000:
            raise OSError(28, "No space left on device")
        append(part, data)

    monkeypatch.setattr(Part, "append", full)
    with pytest.raises(UserError, match="No space left on device; free some space and run again"):
        acquire()
    assert not (raw / toy.name).exists()
    monkeypatch.undo()
    register(urls=[server.answers(server.file())])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert acquire().read_bytes() == toy.content
    assert server.ranges[1].startswith("bytes=5")


def test_a_read_only_folder(
    server: Fixture, register: Fixture, acquire: Callable, toy: Fixture, mounted: Callable
) -> None:
    folder = mounted("size=4m,ro")
    register(urls=[server.answers(server.file())])
    with pytest.raises(UserError, match="Read-only file system; make it writable, or name another folder as `data`"):
        acquire()
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    assert acquire().read_bytes() == toy.content


def test_a_file_in_the_place_of_the_folder(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture
) -> None:
    register(urls=[server.answers(server.file())])
    blocking = put(raw / "toys", b"")
    with pytest.raises(UserError, match=rf"cannot be stored: {blocking}.*; fix that and run again"):
        acquire()
    blocking.unlink()
    assert acquire().read_bytes() == toy.content


def test_the_licence_is_shown_before_the_first_download_only(
    server: Fixture, register: Fixture, acquire: Callable, raw: Path, toy: Fixture, capsys: pytest.CaptureFixture
) -> None:
    register(urls=[server.answers(server.file())])
    acquire()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "toys/toy.zip: licence: toy licence 1.0"
    assert lines[1].startswith("toys/toy.zip: downloading http://")
    acquire()
    assert "licence" not in capsys.readouterr().err


def test_several_may_run_at_once(raw: Path, shared_data: Path) -> None:
    birds = [name for name in sources() if name.startswith("birds/glowip64/")]
    found = partial(acquire_any, raw=raw, mirrors=[shared_data / "birds_glowip64"], offline=True)
    with ProcessPoolExecutor(4) as pool:
        paths = list(pool.map(found, birds))
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in paths)
    assert set(yaml.safe_load((raw.parent / "sources.lock").read_text())) == set(birds)


WITH_A_COPY = {
    "celeba/celeba_subset.tar": "celeba/celeba_subset.tar",
    "celeba/csgm_celebAtest.zip": "celeba/csgm_celebAtest.zip",
    "mnist/train-images-idx3-ubyte.gz": "mnist/train-images-idx3-ubyte.REBUILT.gz",
    "mnist/t10k-images-idx3-ubyte.gz": "mnist/t10k-images-idx3-ubyte.gz",
    "lpips/squeezenet1_1.pth": "lpips_squeeze/squeezenet1_1_features.pth",
    "began/netG_200000.pth": "began64_celeba/netG_200000.pth",
    "birds/glowip64/0040.jpg": "birds_glowip64/0040.jpg",
}


@pytest.mark.parametrize("name", WITH_A_COPY)
def test_real_files_are_found_by_their_hash(raw: Path, shared_data: Path, name: str) -> None:
    path = acquire_any(name, raw, mirrors=[shared_data], offline=True)
    original = shared_data / WITH_A_COPY[name]
    assert path == raw / name and path.read_bytes() == original.read_bytes()
    (entry,) = yaml.safe_load((raw.parent / "sources.lock").read_text()).values()
    assert entry["origin"] == str(original) and entry["size"] == original.stat().st_size
