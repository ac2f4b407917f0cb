"""The known downloads: how each file is recognised, its licence and its addresses."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reprior.errors import UserError

REGISTRY = Path(__file__).with_name("sources.yaml")

Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], Field(strict=False)]
"""A list in YAML, read as a tuple."""
FileName = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
SourceName = Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)+$")]
Address = Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S+$")]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Variant(_Facts):
    """One file that is accepted as a source."""

    file: FileName
    """The publisher's name of the file."""
    size: Annotated[int, Field(gt=0)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    sha256_prefix: Annotated[str, Field(pattern=r"^[0-9a-f]{8,63}$")] | None = None
    """The first digits, if the publisher gives no more."""
    urls: Several[Address] = ()
    """Addresses, in the order in which they are tried."""
    gdrive: Annotated[str, Field(pattern=r"^[\w-]{20,}$")] | None = None
    """The id of the file on Google Drive."""
    note: str = ""

    @model_validator(mode="after")
    def _can_be_had(self) -> Variant:
        if not (self.addresses or (self.size and self.hashed)):
            raise ValueError("needs an address, or a size and a hash to find it in a mirror")
        return self

    @property
    def hashed(self) -> bool:
        """Whether a complete hash is known, so that the file is recognised in any folder."""
        return bool(self.sha256 or self.md5)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses to open in a browser."""
        return (*self.urls, *([f"https://drive.google.com/uc?id={self.gdrive}"] if self.gdrive else []))

    def facts(self) -> dict[str, str]:
        """Size and hashes for a message."""
        known = {
            "size": f"{self.size:,} bytes" if self.size else "",
            "sha256": self.sha256 or (f"{self.sha256_prefix}..." if self.sha256_prefix else ""),
            "md5": self.md5 or "",
        }
        return {key: fact for key, fact in known.items() if fact} or {"hash": "none is published"}


class Source(_Facts):
    """One file under data/raw/. Any one of the variants is accepted."""

    licence: Annotated[str, Field(min_length=3)]
    page: Address | None = None
    """The publisher's page about it."""
    accepts: Annotated[Several[Variant], Field(min_length=1)]

    @model_validator(mode="after")
    def _told_apart(self) -> Source:
        if len({variant.file for variant in self.accepts}) < len(self.accepts):
            raise ValueError("two variants have the same file name")
        return self


class _Registry(_Facts):
    sources: dict[SourceName, Source]


@cache
def sources() -> Mapping[str, Source]:
    """Every known download by its path under data/raw/."""
    return read_registry(REGISTRY)


def read_registry(path: Path) -> Mapping[str, Source]:
    """Read and check a registry file; UserError if an entry is malformed."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return MappingProxyType(_Registry(sources=content).sources)
    except ValidationError as error:
        raise UserError(f"{path}: {error}") from error


def known_source(name: str) -> Source:
    """The source of this name; UserError with the nearest name if there is none."""
    if name in sources():
        return sources()[name]
    close = difflib.get_close_matches(name, sources(), n=1, cutoff=0.3)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise UserError(f"'{name}' is not a known download; {hint}All are in {REGISTRY}")
