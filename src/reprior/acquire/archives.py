"""Reads members of zip, tar and tgz archives that may be damaged or hostile.

Reads only regular files, by their exact names, into memory, up to a size limit. The first bytes of an archive tell its
kind; its suffix is ignored. Every problem is a `UserError` that names the archive.
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
"""Largest member that is read, in bytes. Photographs and annotations are far smaller."""

ROOM = 16 * 2**30
"""A tgz may unpack to twice its size and this many bytes. Photographs hardly compress, but masks do."""

_END = bytes(tarfile.BLOCKSIZE)
_BROKEN = (OSError, EOFError, RuntimeError, ValueError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Inside the block, a missing or damaged file is one `UserError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file; fetch it or place it there") from error
    except _BROKEN as error:
        raise UserError(f"{path}: cannot be read ({error}); if it is damaged, remove it and fetch it again") from error


class Archive(ABC):
    """Reads files of an archive by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all regular files, in the order of the archive."""
        with readable(self.path):
            return tuple(self._list())

    def read(self, names: Iterable[str], limit: int = LIMIT) -> dict[str, bytes]:
        """The content of each named file; UserError if one is missing or larger than `limit` bytes."""
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
        """Write one file into `folder` under its own name. Returns its path."""
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
        """As `read`, but leaves out names that the archive does not have."""

    def _content(self, file: IO[bytes], name: str, size: int, limit: int) -> bytes:
        """Read the `size` bytes that a member declares, and never more."""
        if not 0 <= size <= limit:
            raise UserError(f"{self.path}: '{name}' unpacks to {size} bytes, above the limit of {limit}; do not use it")
        content = file.read(size)
        if len(content) < size:
            raise EOFError(f"'{name}' ends too early")
        return content


def open_archive(path: Path) -> Archive:
    """Open a zip, tar or tgz archive. A zip or tar is indexed once, when first used."""
    with readable(path), path.open("rb") as file:
        start = file.read(tarfile.BLOCKSIZE)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _Zip(path)
    if start.startswith(b"\x1f\x8b"):
        return _Tgz(path)
    if start[257:262] == b"ustar":
        return _Tar(path)
    page = " but a web page" if b"<html" in start.lower() or b"<!doctype" in start.lower() else ""
    raise UserError(f"{path}: is not a zip, tar or tgz archive{page}; remove it and fetch it again")


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
                # zipfile unpacks only these two in small pieces, so a bomb is noticed in time.
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
            # tarfile silently treats a damaged header as the end.
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
    """Has no random access: each `read` starts at the beginning and stops when it has all files."""

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
                # tarfile may load everything between two members into memory, whatever its size.
                file.left = member.size + LIMIT
                yield archive, member


def _members(archive: tarfile.TarFile, most: int) -> Iterator[tarfile.TarInfo]:
    """The regular files: no links, devices or sparse files."""
    for member in archive:
        # tarfile would search for the end of such a member for ever.
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
            raise tarfile.ReadError("its headers unpack to too many bytes")
        return content
