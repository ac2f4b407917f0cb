"""Downloads over http and https. Does not trust a server to send the right file, or all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

import requests
import urllib3

from reprior.acquire.fingerprint import HEAD, web_page
from reprior.acquire.part import Part
from reprior.acquire.patience import Patience, Refused
from reprior.acquire.progress import Progress

# CaltechDATA answers 403 unless the client looks like a browser.
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "*/*",
    # So that ranges and lengths count the bytes of the file.
    "Accept-Encoding": "identity",
}
_WORTH_WAITING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class _Interrupted(Exception):  # noqa: N818 - as Refused
    """The transfer broke off. Another try may help."""


def download(url: str, part: Part, size: int | None, label: str, patience: Patience) -> None:
    """Download `url` until `part` is complete (`size` bytes, if known). Refused if the server does not send that."""
    if size is not None and part.size > size:
        part.restart()
    best, failures = part.size, 0
    with requests.Session() as session:
        session.headers.update(_HEADERS)
        while part.size != size:
            try:
                _attempt(session, url, part, size, label, patience)
                break
            except _Interrupted as interruption:
                failures = 0 if part.size > best else failures + 1
                best = max(best, part.size)
                if failures >= patience.tries:
                    kept = f"; {part.size:,} bytes are kept for the next run" if part.size else ""
                    raise Refused(f"{interruption}, {failures} times{kept}") from interruption
                time.sleep(patience.pause_seconds * 2 ** max(failures - 1, 0))


def _attempt(session: requests.Session, url: str, part: Part, size: int | None, label: str, patience: Patience) -> None:
    timeout = (patience.connect_seconds, patience.read_seconds)
    ranged = {"Range": f"bytes={part.size}-"} if part.size else {}
    try:
        with session.get(url, headers=ranged, stream=True, timeout=timeout) as response:
            _check_status(response, part)
            total = _check_total(response, part, size)
            with Progress(label, total, part.size) as progress:
                _receive(response, part, total, progress.reach)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Interrupted(reason(error)) from error
    if total is not None and part.size < total:
        raise _Interrupted(f"the connection ended after {part.size:,} of {total:,} bytes")


def _check_status(response: requests.Response, part: Part) -> None:
    """Refuse an answer that is not the file. Restart `part` if the answer does not continue it."""
    status = response.status_code
    said = f"the server answered {status} {response.reason}"
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.restart()
        raise _Interrupted(said)
    if status in _WORTH_WAITING or status >= 500:
        raise _Interrupted(said)
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise Refused(said)
    if "text/html" in response.headers.get("Content-Type", "").lower():
        raise Refused(_page(response, next(_chunks(response), b"")) or "the server answered with a web page")
    if status == HTTPStatus.PARTIAL_CONTENT and _range_start(response) != part.size:
        part.restart()
        raise _Interrupted("the server sent a different range than requested")
    if status == HTTPStatus.OK:
        part.restart()


def _range_start(response: requests.Response) -> int | None:
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def _check_total(response: requests.Response, part: Part, size: int | None) -> int | None:
    """Number of bytes of the whole file, None if unknown; Refused if it is not `size`."""
    length = response.headers.get("Content-Length", "")
    announced = part.size + int(length) if length.isdigit() else None
    if size is not None and announced is not None and announced != size:
        page = _page(response, next(_chunks(response), b""))
        part.restart()
        raise Refused(page or f"the file there has {announced:,} bytes instead of {size:,}")
    return size if size is not None else announced


def _receive(response: requests.Response, part: Part, total: int | None, reach: Callable[[int], None]) -> None:
    for chunk in _chunks(response):
        page = _page(response, chunk) if part.size == 0 else ""
        if page:
            raise Refused(page)
        if total is not None and part.size + len(chunk) > total:
            part.restart()
            raise Refused(f"the server sent more than {total:,} bytes")
        part.append(chunk)
        reach(part.size)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it was sent. Not decoded: some servers declare a .gz file as a text with gzip encoding."""
    return iter(response.raw.stream(HEAD, decode_content=False))


def _page(response: requests.Response, head: bytes) -> str:
    """Message for an answer that starts like a web page; empty if it does not."""
    page = web_page(head)
    where = f" (redirected to {response.url})" if response.history else ""
    return f"the server answered with {page}{where} instead of the file" if page else ""


def reason(error: Exception) -> str:
    """The innermost cause, on one line: requests and urllib3 wrap errors several times."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection within the time limit"
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in str(error):
        return "nothing came within the time limit"
    inner: BaseException = error
    while inner.args and isinstance(inner.args[0], BaseException):
        inner = inner.args[0]
    said = getattr(inner, "reason", None) or (inner.args or [type(error).__name__])[0]
    text = str(said).rstrip(".")
    return f"no connection ({text})" if isinstance(error, requests.exceptions.ConnectionError) else text
