"""Downloads from Google Drive, through gdown."""

from __future__ import annotations

from pathlib import Path

import gdown
import requests
from gdown.exceptions import DownloadError

from reprior.acquire.https import reason
from reprior.acquire.patience import Patience, Refused
from reprior.acquire.progress import Progress

_QUOTA = ("quota", "too many users")
_SURPRISES = (AssertionError, KeyError)
"""gdown raises these if a page of Drive is not as it expects."""


def download(file_id: str, path: Path, size: int | None, label: str, patience: Patience) -> None:
    """Download `file_id` from Drive to `path`, and resume what an earlier run left. Refused if Drive sends nothing.

    Drive may send a web page instead of the file, so the caller must verify `path`.
    """
    _make_way(path)
    try:
        with Progress(label, size) as progress:
            gdown.download(
                id=file_id,
                output=str(path),
                quiet=True,
                use_cookies=False,
                resume=True,
                timeout=(patience.connect_seconds, patience.read_seconds),
                retries=patience.tries,
                progress=lambda done, _: progress.reach(done),
            )
    except (DownloadError, requests.RequestException, *_SURPRISES) as error:
        raise Refused(_reason(error)) from error
    if not path.is_file():
        raise Refused("gdown wrote no file")
    path.chmod(0o644)  # gdown lets only the owner read it


def discard(path: Path) -> None:
    """Remove `path` and the part files that gdown keeps of it."""
    for file in (path, *_parts(path)):
        file.unlink(missing_ok=True)


def _make_way(path: Path) -> None:
    """gdown takes an existing file to be complete without a check, and fails if it finds several part files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if len(_parts(path)) > 1:
        discard(path)


def _parts(path: Path) -> list[Path]:
    return [file for file in path.parent.iterdir() if file.name.startswith(path.name) and file.suffix == ".part"]


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, requests.RequestException):
        return reason(cause)
    text = " ".join(str(error).split())
    if any(sign in text.lower() for sign in _QUOTA):
        return "too many have downloaded the file; try again in a day, or fetch it in a browser"
    return text.partition(" You may still be able to access")[0] or f"gdown failed ({type(error).__name__})"
