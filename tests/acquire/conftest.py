"""A local server that misbehaves, and a registry of one download that it offers."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reprior.acquire import fetch, registry
from reprior.acquire.patience import Patience
from reprior.acquire.registry import Source

Behaviour = Callable[[BaseHTTPRequestHandler], None]


class Toy:
    """A download that looks like a zip file."""

    name = "toys/toy.zip"
    file = "published.zip"
    content = b"PK\x03\x04" + random.Random(0).randbytes(1_200_000)
    size = len(content)
    sha256 = hashlib.sha256(content).hexdigest()
    md5 = hashlib.md5(content).hexdigest()


class Server:
    """Answers each path with a given behaviour, and records the requests."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.body = Toy.content
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, dict(self.headers)))
                outer.behaviours.get(self.path, outer.status(404))(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answers(self, behaviour: Behaviour, path: str = "/toy.zip") -> str:
        """Answer `path` with this behaviour. Returns the address."""
        self.behaviours[path] = behaviour
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def file(
        self,
        body: bytes | None = None,
        *,
        kind: str = "application/octet-stream",
        ranges: bool = True,
        length: bool = True,
        encoding: str | None = None,
        until: int | None = None,
        then: Behaviour = lambda _: None,
    ) -> Behaviour:
        """Sends the body from the requested byte up to byte `until`, then does `then`."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            whole = self.body if body is None else body
            asked = handler.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
            start = int(asked) if asked and ranges else 0
            if start >= len(whole):
                return self.status(416)(handler)
            handler.send_response(206 if start else 200)
            handler.send_header("Content-Type", kind)
            if encoding:
                handler.send_header("Content-Encoding", encoding)
            if length:
                handler.send_header("Content-Length", str(len(whole) - start))
            if start:
                handler.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            handler.end_headers()
            handler.wfile.write(whole[start:until])
            return then(handler)

        return answer

    def page(self, text: str, kind: str = "text/html; charset=utf-8") -> Behaviour:
        return self.file(f"<!DOCTYPE html><html><body>{text}</body></html>".encode(), kind=kind)

    @staticmethod
    def status(code: int, **headers: str) -> Behaviour:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(code)
            for key, value in {"Content-Length": "0", **headers}.items():
                handler.send_header(key, value)
            handler.end_headers()

        return answer

    def only_for_browsers(self, behaviour: Behaviour) -> Behaviour:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            browser = handler.headers.get("User-Agent", "").startswith("Mozilla/5.0")
            (behaviour if browser else self.status(403))(handler)

        return answer

    @staticmethod
    def in_turn(*behaviours: Behaviour) -> Behaviour:
        """One behaviour per request. The last one repeats."""
        left = list(behaviours)
        return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)

    @staticmethod
    def reset(handler: BaseHTTPRequestHandler) -> None:
        """Break the connection off with RST, after the sent bytes have arrived."""
        time.sleep(0.2)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.rfile.close()
        handler.connection.close()

    @staticmethod
    def stall(handler: BaseHTTPRequestHandler) -> None:
        """Send nothing more, but keep the connection open."""
        time.sleep(1.5)


@pytest.fixture
def toy() -> type[Toy]:
    return Toy


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.close()


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Makes a registry of only the toy. Its facts can be changed, or left out (None)."""

    def registered(**facts: Any) -> Source:
        known = {"file": Toy.file, "size": Toy.size, "sha256": Toy.sha256, **facts}
        variant = {key: fact for key, fact in known.items() if fact is not None}
        source = Source.model_validate({"licence": "toy licence 1.0", "accepts": [variant]})
        monkeypatch.setattr(registry, "sources", lambda: {Toy.name: source})
        return source

    return registered


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw"


@pytest.fixture
def acquire(raw: Path) -> Callable[..., Path]:
    """Acquires the toy, with little patience."""
    impatient = Patience(connect_seconds=2, read_seconds=0.6, tries=2, pause_seconds=0.01)
    return lambda **settings: fetch.acquire(Toy.name, **{"raw": raw, "patience": impatient, **settings})
