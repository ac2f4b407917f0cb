"""How far a download is, how fast, and how long it will take."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_LINE_SECONDS = 10.0


class Progress:
    """A bar of bytes on a terminal; elsewhere, as in a log, a line every ten seconds."""

    def __init__(self, label: str, total: int | None, done: int = 0, every_seconds: float = _LINE_SECONDS) -> None:
        self.label, self.total, self.every_seconds = label, total, every_seconds
        self.bar = tqdm(
            desc=label, total=total, initial=done, unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False
        )
        self.first = done
        self.began = self.shown = time.monotonic()

    def reach(self, done: int) -> None:
        """Show that `done` bytes are there."""
        if self.bar.disable:
            self._line(done)
        else:
            self.bar.update(done - self.bar.n)

    def _line(self, done: int) -> None:
        now = time.monotonic()
        if now - self.shown < self.every_seconds:
            return
        self.shown = now
        rate = max(done - self.first, 1) / (now - self.began)
        left = f" of {_bytes(self.total)}" if self.total else ""
        until = f", {tqdm.format_interval((self.total - done) / rate)} left" if self.total else ""
        print(f"{self.label}: {_bytes(done)}{left}, {_bytes(rate)}/s{until}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()


def _bytes(count: float) -> str:
    return f"{tqdm.format_sizeof(count)}B"
