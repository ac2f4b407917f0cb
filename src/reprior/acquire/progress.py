"""Shows the progress, speed and remaining time of a download."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

_LINE_SECONDS = 10.0


class Progress:
    """A progress bar on a terminal; a line every ten seconds elsewhere, such as in a log."""

    def __init__(self, label: str, total: int | None, done: int = 0, every_seconds: float = _LINE_SECONDS) -> None:
        self.label, self.total, self.every_seconds = label, total, every_seconds
        self.bar = tqdm(
            desc=label, total=total, initial=done, unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False
        )
        self.first = done
        self.began = self.shown = time.monotonic()

    def reach(self, done: int) -> None:
        """Show that `done` bytes are downloaded."""
        if self.bar.disable:
            self._line(done)
        else:
            self.bar.update(done - self.bar.n)

    def _line(self, done: int) -> None:
        now = time.monotonic()
        if now - self.shown < self.every_seconds:
            return
        self.shown = now
        layout = "{n_fmt}B of {total_fmt}B, {rate_fmt}, {remaining} left" if self.total else "{n_fmt}B, {rate_fmt}"
        meter = tqdm.format_meter(
            done, self.total or 0, now - self.began, unit="B", unit_scale=True, initial=self.first, bar_format=layout
        )
        print(f"{self.label}: {meter}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
