"""Correct, damaged and hostile archives."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reprior.acquire import archives
from reprior.acquire.archives import open_archive
from reprior.errors import UserError

FILES = {"a/one.txt": b"one" * 500, "a/two.txt": b"", "three.txt": bytes(range(256))}


def write_zip(path: Path, files: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            add(archive, tarfile.TarInfo(name), content)
    return path


def add(archive: tarfile.TarFile, member: tarfile.TarInfo, content: bytes) -> None:
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_tgz(path: Path, files: dict[str, bytes]) -> Path:
    return write_tar(path, files, "w:gz")


KINDS = {"zip": write_zip, "tar": write_tar, "tgz": write_tgz}
every_kind = pytest.mark.parametrize("write", KINDS.values(), ids=KINDS)
Write = Callable[[Path, dict[str, bytes]], Path]


@every_kind
def test_members_are_read_by_name_whatever_the_suffix(tmp_path: Path, write: Write) -> None:
    archive = open_archive(write(tmp_path / "no-suffix", FILES))
    assert list(archive.names) == list(FILES)
    assert archive.read(["three.txt", "a/one.txt", "three.txt"]) == {
        "three.txt": FILES["three.txt"],
        "a/one.txt": FILES["a/one.txt"],
    }
    assert archive.read(["a/two.txt"]) == {"a/two.txt": b""}
    assert archive.read([]) == {}


@every_kind
def test_a_name_that_is_not_there_is_told(tmp_path: Path, write: Write) -> None:
    archive = open_archive(write(tmp_path / "x", FILES))
    for name in ("four.txt", "one.txt", "a", "./three.txt", "a/../three.txt", "../x"):
        with pytest.raises(UserError, match=f"x: has no file '{name}'"):
            archive.read(["three.txt", name])


@every_kind
def test_names_that_lead_elsewhere_are_read_only_when_asked_for_and_never_extracted(
    tmp_path: Path, write: Write
) -> None:
    evil = ["../evil.txt", "/evil.txt", "a/../../evil.txt"]
    (tmp_path / "inside").mkdir()
    archive = open_archive(write(tmp_path / "x", dict.fromkeys(evil, b"evil") | {"a/good.txt": b"good"}))
    assert archive.read(["a/good.txt"]) == {"a/good.txt": b"good"}
    for name in archive.names:
        if name != "a/good.txt":
            with pytest.raises(UserError, match="written outside"):
                archive.extract(name, tmp_path / "inside")
    assert archive.extract("a/good.txt", tmp_path / "inside").read_bytes() == b"good"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x", "good.txt"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_in_a_tar_are_no_files(tmp_path: Path, kind: bytes, mode: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "x", mode) as archive:
        add(archive, tarfile.TarInfo("good"), b"good")
        odd = tarfile.TarInfo("odd")
        odd.type, odd.linkname = kind, str(tmp_path / "secret")
        archive.addfile(odd)
    found = open_archive(tmp_path / "x")
    assert found.names == ("good",)
    with pytest.raises(UserError, match="has no file 'odd'"):
        found.read(["odd"])


def test_links_in_a_zip_are_no_files(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr(link, "/etc/hostname")
        archive.mkdir("folder")
        archive.writestr("good", "good")
    assert open_archive(tmp_path / "x").names == ("good",)


@every_kind
def test_a_member_above_the_limit_is_refused(tmp_path: Path, write: Write) -> None:
    archive = open_archive(write(tmp_path / "x", {"big": bytes(1001)}))
    assert len(archive.read(["big"], limit=1001)["big"]) == 1001
    with pytest.raises(UserError, match="x: 'big' unpacks to 1001 bytes, above the limit of 1000"):
        archive.read(["big"], limit=1000)


def test_a_zip_bomb_that_lies_about_its_size_does_not_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "x", {"bomb": bytes(50_000_000)})
    content = path.read_bytes()
    assert content.count(struct.pack("<L", 50_000_000)) == 2  # in the local header and in the directory
    path.write_bytes(content.replace(struct.pack("<L", 50_000_000), struct.pack("<L", 1000)))
    unpacked: list[int] = []
    real = zipfile.ZipExtFile._read1

    def counted(self: zipfile.ZipExtFile, n: int) -> bytes:
        unpacked.append(n)
        return real(self, n)

    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", counted)
    with pytest.raises(UserError, match=r"x: cannot be read \(Bad CRC-32"):
        open_archive(path).read(["bomb"])
    assert sum(unpacked) < 10_000


def test_a_zip_packed_in_a_way_that_cannot_be_bounded_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x", {"bomb": bytes(1000)}, zipfile.ZIP_BZIP2)
    with pytest.raises(UserError, match="'bomb' is packed in a way that is not supported"):
        open_archive(path).read(["bomb"])


def test_a_tgz_bomb_is_left_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LIMIT", 100_000)
    monkeypatch.setattr(archives, "ROOM", 1_000_000)
    name = tarfile.TarInfo("long")
    name.type = tarfile.GNUTYPE_LONGNAME  # tarfile reads it all into memory
    for bomb in (tarfile.TarInfo("bomb"), name):
        with tarfile.open(tmp_path / "x", "w:gz") as archive:
            add(archive, bomb, bytes(20_000_000))
            add(archive, tarfile.TarInfo("wanted"), b"1")
        for use in (lambda archive: archive.names, lambda archive: archive.read(["wanted"])):
            with pytest.raises(UserError, match="larger than the archive can be|headers unpack to too many bytes"):
                use(open_archive(tmp_path / "x"))


@pytest.mark.parametrize("size", [2**62, -512])
def test_a_tar_that_lies_about_a_size_is_refused(tmp_path: Path, size: int) -> None:
    member = tarfile.TarInfo("lie")
    member.size = size
    path = tmp_path / "x"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(UserError, match="x: "):
        open_archive(path).read(["lie"])


@every_kind
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_told_of_in_one_message(tmp_path: Path, write: Write, share: float) -> None:
    noise = {f"{name}.bin": bytes((7 * k * name + k) % 251 for k in range(9000)) for name in range(1, 9)}
    path = write(tmp_path / "x", noise)
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[: int(share * len(content))])
    for use in (lambda archive: archive.names, lambda archive: archive.read(noise)):
        with pytest.raises(UserError, match=r"x: cannot be read .*fetch it again"):
            use(open_archive(path))


@every_kind
def test_damage_is_told_of_or_does_no_harm(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "x", FILES)
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            found = open_archive(path).read(FILES)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert found == FILES or write is not write_zip  # a tar has no checksums; a tgz has one, at its end


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "archive but a web page"),
        (b"\n<HTML><head>", "archive but a web page"),
        (b"\x80\x04\x95 a pickle", "is not a zip, tar or tgz archive; remove it"),
        (b"", "is not a zip, tar or tgz archive; remove it"),
        (b"\x1f\x8b half a header", "cannot be read"),
        (gzip.compress(b"no tar", mtime=0), "cannot be read"),
        (b"PK\x03\x04 no directory", "cannot be read"),
    ],
)
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match=f"x: .*{message}"):
        open_archive(tmp_path / "x").read(["one"])


def test_a_missing_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="x: there is no such file"):
        open_archive(tmp_path / "x")
    with pytest.raises(UserError, match="cannot be read"):
        open_archive(tmp_path)


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x", {"locked": b"content"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x: cannot be read .*password"):
        open_archive(path).read(["locked"])


def test_an_archive_with_random_access_is_indexed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    for kind, module, entry in (("zip", zipfile, "ZipFile"), ("tar", tarfile, "open")):
        archive = open_archive(KINDS[kind](tmp_path / kind, FILES))
        real = getattr(module, entry)
        monkeypatch.setattr(module, entry, lambda *a, real=real, kind=kind, **k: opened.append(kind) or real(*a, **k))
        for name in FILES:
            archive.read([name])
    assert opened == ["zip", "tar"]


def test_a_tgz_is_gone_through_once_a_read_and_no_further_than_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = open_archive(write_tgz(tmp_path / "x", {f"{k}": bytes([k]) * 100_000 for k in range(20)}))
    read: list[int] = []
    real = archives._Gzip.read
    monkeypatch.setattr(archives._Gzip, "read", lambda self, size=-1: read.append(size) or real(self, size))
    assert archive.read(["3", "0", "1"])["3"] == bytes([3]) * 100_000
    assert 400_000 < sum(read) < 500_000
