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
"""What gdown raises where a page of Drive is not as it expects."""


def download(file_id: str, path: Path, size: int | None, label: str, patience: Patience) -> None:
    """Write what Drive has under `file_id` to `path`, going on from an earlier run; Refused if it gives nothing.

    What Drive gives may still be a page of its own: `path` is to be verified.
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
    path.chmod(0o644)  # which gdown makes for its owner alone


def discard(path: Path) -> None:
    """Remove `path` and the parts of it that gdown keeps."""
    for file in (path, *_parts(path)):
        file.unlink(missing_ok=True)


def _make_way(path: Path) -> None:
    """gdown takes a file that is there for a whole one, unseen, and gives up where it finds several parts."""
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
