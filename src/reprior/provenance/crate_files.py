"""The names and descriptions of files in an RO-Crate.

A download is named by its address and never copied. Any other file outside the crate is named by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reprior.acquire.lock import Entry
from reprior.acquire.registry import sources

Entity = dict[str, Any]
ELSEWHERE = "Not part of the crate"
_FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".safetensors": "application/octet-stream",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
    ".zip": "application/zip",
}


@dataclass(frozen=True)
class Files:
    """Names and describes the files of a crate."""

    folder: Path
    raw: Path
    copied: Mapping[Path, Path]
    downloads: Mapping[str, Entry]

    def name(self, file: str) -> str:
        """The path in the crate, the address of a download, or `#path` for any other file outside the crate."""
        path = self.copied.get(Path(file).resolve(), Path(file))
        if path.is_relative_to(self.folder):
            return quote(path.relative_to(self.folder).as_posix())
        return self._address(path) or f"#{quote(path.as_posix())}"

    def _download(self, path: Path) -> Entry | None:
        """The lock's entry of the file; None if it is not a download."""
        return self.downloads.get(path.relative_to(self.raw).as_posix()) if path.is_relative_to(self.raw) else None

    def _address(self, path: Path) -> str | None:
        """The address of a download. If it came from a local mirror, a public address of the same file."""
        entry = self._download(path)
        if entry is None:
            return None
        if entry.origin.startswith("https://"):
            return entry.origin
        source = sources().get(path.relative_to(self.raw).as_posix())
        variants = source.accepts if source else ()
        return next((address for v in variants if v.file == entry.file for address in v.addresses), None)

    def entity(self, file: str, known: Mapping[str, Any]) -> Entity:
        """The entity of a file. `known` has its hash and may have its size."""
        path, address = Path(file), self.name(file)
        kind = _FORMATS.get(path.suffix, "application/octet-stream")
        entity = {"@id": address, "@type": "File", "name": path.name, "encodingFormat": kind, "sha256": known["sha256"]}
        if "bytes" in known:
            entity["contentSize"] = str(known["bytes"])
        download = self._download(path)
        if download:
            entity |= {"contentSize": str(download.size), "license": download.licence, "sdDatePublished": download.date}
        return entity | ({"@type": "CreativeWork", "description": ELSEWHERE} if address.startswith("#") else {})
