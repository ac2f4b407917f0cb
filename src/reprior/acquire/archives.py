"""Reads members of zip, tar and tgz archives that may be damaged or hostile.

Only regular files that are asked for by their exact name are read, into memory, and never more of them than a limit.
What an archive is, its first bytes say, not its suffix. Everything wrong with one is a `UserError` that names it.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from reprior.errors import UserError

LIMIT = 64 * 2**20
"""Bytes of the largest member that is read: a photograph or an annotation has far fewer."""

ROOM = 16 * 2**30
"""Bytes that a tgz may unpack to beyond twice its size: photographs hardly shrink, but masks do."""

_END = bytes(tarfile.BLOCKSIZE)
_BROKEN = (OSError, EOFError, RuntimeError, ValueError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Tells of a file that is missing or damaged in one message."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file; fetch it or place it there") from error
    except _BROKEN as error:
        raise UserError(f"{path}: cannot be read ({error}); if it is damaged, remove it and fetch it again") from error


class Archive(ABC):
    """Files by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all regular files, in the archive's order."""
        with readable(self.path):
            return tuple(self._list())

    def read(self, names: Iterable[str], limit: int = LIMIT) -> dict[str, bytes]:
        """The content of each file named, none larger than `limit` bytes."""
        wanted = list(dict.fromkeys(names))
        with readable(self.path):
            found = self._read(wanted, limit)
        for name in wanted:
            if name not in found:
                raise UserError(
                    f"{self.path}: has no file '{name}'; check that name, and whether this is the right archive"
                )
        return found

    def extract(self, name: str, folder: Path, limit: int = LIMIT) -> Path:
        """Write one file into `folder`, under its own name, and return its path."""
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{self.path}: '{name}' would be written outside {folder}; do not use this archive")
        content = self.read([name], limit)[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    @abstractmethod
    def _list(self) -> Iterable[str]: ...

    @abstractmethod
    def _read(self, names: Sequence[str], limit: int) -> dict[str, bytes]:
        """As `read`, without the names that are not there."""

    def _content(self, file: IO[bytes], name: str, size: int, limit: int) -> bytes:
        """The `size` bytes that a member declares, and no more of what it may hold."""
        if not 0 <= size <= limit:
            raise UserError(f"{self.path}: '{name}' unpacks to {size} bytes, above the limit of {limit}; do not use it")
        content = file.read(size)
        if len(content) < size:
            raise EOFError(f"'{name}' ends too early")
        return content


def open_archive(path: Path) -> Archive:
    """A zip, tar or tgz archive. It is indexed when first used, and once."""
    with readable(path), path.open("rb") as file:
        start = file.read(tarfile.BLOCKSIZE)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _Zip(path)
    if start.startswith(b"\x1f\x8b"):
        return _Tgz(path)
    if start[257:262] == b"ustar":
        return _Tar(path)
    page = " but a web page" if b"<html" in start.lower() or b"<!doctype" in start.lower() else ""
    raise UserError(f"{path}: is no zip, tar or tgz archive{page}; remove it and fetch it again")


class _Zip(Archive):
    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    @cached_property
    def _files(self) -> Mapping[str, zipfile.ZipInfo]:
        return {info.filename: info for info in self._zip.infolist() if _is_file(info)}

    def _list(self) -> Iterable[str]:
        return self._files

    def _read(self, names: Sequence[str], limit: int) -> dict[str, bytes]:
        found = {}
        for name in names:
            if name in self._files:
                info = self._files[name]
                # Only these two are unpacked bit by bit, so that a bomb is noticed before it has gone off.
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise zipfile.BadZipFile(f"'{name}' is packed in a way that is not supported")
                with self._zip.open(info) as file:
                    found[name] = self._content(file, name, info.file_size, limit)
        return found


def _is_file(info: zipfile.ZipInfo) -> bool:
    return not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)


class _Tar(Archive):
    @cached_property
    def _files(self) -> Mapping[str, tuple[int, int]]:
        """Offset and size of each file."""
        with self.path.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
            most = self.path.stat().st_size
            files = {member.name: (member.offset_data, member.size) for member in _members(archive, most)}
            # tarfile takes a damaged header for the end, and says nothing.
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != _END:
                raise tarfile.ReadError("it ends too early")
        return files

    def _list(self) -> Iterable[str]:
        return self._files

    def _read(self, names: Sequence[str], limit: int) -> dict[str, bytes]:
        found = {}
        with self.path.open("rb") as file:
            for name in names:
                if name in self._files:
                    offset, size = self._files[name]
                    file.seek(offset)
                    found[name] = self._content(file, name, size, limit)
        return found


class _Tgz(Archive):
    """Has no random access: each `read` goes through it from the start until it has all that it wants."""

    def _list(self) -> Iterable[str]:
        return [member.name for _, member in self._members()]

    def _read(self, names: Sequence[str], limit: int) -> dict[str, bytes]:
        wanted, found = set(names), {}
        with closing(self._members()) as members:
            while wanted and (step := next(members, None)):
                archive, member = step
                if member.name in wanted and (file := archive.extractfile(member)):
                    found[member.name] = self._content(file, member.name, member.size, limit)
                    wanted.remove(member.name)
        return found

    def _members(self) -> Generator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        most = ROOM + 2 * self.path.stat().st_size
        with _Gzip(self.path, LIMIT) as file, tarfile.open(fileobj=file, mode="r|") as archive:
            for member in _members(archive, most):
                # tarfile may hold in memory what lies between two members, however much that is.
                file.left = member.size + LIMIT
                yield archive, member


def _members(archive: tarfile.TarFile, most: int) -> Iterator[tarfile.TarInfo]:
    """The files with content of their own: no links, devices or sparse files."""
    for member in archive:
        # tarfile would look for the end of such a member for ever.
        if member.size < 0 or member.offset_data + member.size > most:
            raise tarfile.ReadError(f"'{member.name}' is larger than the archive can be")
        if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield member


class _Gzip(gzip.GzipFile):
    """Unpacks at most `left` bytes."""

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path, "rb")
        self.left = left

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError("its headers unpack to more than they may")
        return content
