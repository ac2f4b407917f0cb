"""Size and hashes of a file, and whether it is the wanted one."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from reprior.acquire.registry import Variant

HEAD = 1 << 16
SMALLEST = 1_000_000
"""Bytes. A smaller file is refused if no complete hash of it is published."""
_MAGIC = {
    ".zip": (b"PK\x03\x04",),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".jpg": (b"\xff\xd8\xff",),
    **dict.fromkeys((".pth", ".pt", ".ckpt"), (b"PK\x03\x04", b"\x80\x02")),
    ".pkl": (b"\x80",),
}
_PAGES = {
    "a quota page (try again in a day)": (b"quota", b"too many users"),
    "a virus-scan page": (b"virus scan", b"scan this file for viruses"),
    "a login page": (b"sign in", b"log in", b"login", b"accounts.google.com"),
}
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<!--", b"<?xml")


@dataclass(frozen=True)
class Fingerprint:
    """Size and hashes of a file."""

    size: int
    sha256: str
    md5: str


class Hasher:
    """Hashes a file while it is being read or downloaded."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes) -> None:
        """Add the next bytes."""
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)

    def fingerprint(self) -> Fingerprint:
        """Size and hashes of all bytes so far."""
        return Fingerprint(self.size, self._sha256.hexdigest(), self._md5.hexdigest())


def fingerprint(path: Path) -> Fingerprint:
    """Size and hashes of the file `path`."""
    hasher = Hasher()
    with path.open("rb") as file:
        shutil.copyfileobj(file, hasher)
    return hasher.fingerprint()


def web_page(head: bytes) -> str:
    """Kind of web page that a file starts like; empty if none. Servers send pages instead of files, with status 200."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text.startswith(_PAGE_STARTS):
        return ""
    return next((page for page, signs in _PAGES.items() if any(sign in text for sign in signs)), "a web page")


def objection(path: Path, found: Fingerprint, wanted: Variant) -> str:
    """Why `path` is not the wanted file; empty if it may be."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    page = web_page(head)
    if page:
        return f"it is {page}"
    if wanted.size is not None and found.size != wanted.size:
        return f"it has {found.size:,} bytes instead of {wanted.size:,}"
    for key, expected in (("sha256", wanted.sha256 or wanted.sha256_prefix), ("md5", wanted.md5)):
        if expected and not getattr(found, key).startswith(expected):
            return f"its {key} is {getattr(found, key)} instead of {expected}{'' if wanted.hashed else '...'}"
    return "" if wanted.hashed else unlikely(head, found.size, wanted)


def unlikely(head: bytes, size: int, wanted: Variant) -> str:
    """Why a file with these first bytes and size is hardly the wanted one; empty if it may be. Uses no hash."""
    suffix = Path(wanted.file).suffix
    if size < SMALLEST:
        return f"it has only {size:,} bytes"
    if not head.startswith(_MAGIC.get(suffix, b"")):
        return f"it does not start like a {suffix} file"
    return ""
