"""CUDA streams: pieces of work that do not fill a GPU each run at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_MOST = 8
"""Pieces at the same time."""


class Beside:
    """Calls a function for each piece, on one of a few CUDA streams. Gradients take the streams of their values.

    In a CUDA graph (`graphs.py`), the pieces become branches. The streams stay the same in all calls, since CUDA's
    memory is kept by stream.
    """

    def __init__(self) -> None:
        self._streams: list[torch.cuda.Stream] = []

    def __call__(self, function: Callable[..., Tensor], pieces: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        """The results, in the order of the pieces."""
        device = pieces[0][0].device
        while len(self._streams) < min(_MOST, len(pieces)):
            self._streams.append(torch.cuda.Stream(device))
        here, results = torch.cuda.current_stream(device), []
        for stream in self._streams:
            stream.wait_stream(here)
        for number, piece in enumerate(pieces):
            stream = self._streams[number % len(self._streams)]
            with torch.cuda.stream(stream):
                results.append(_kept_until_done(function(*piece), here))
            for value in piece:
                _kept_until_done(value, stream)
        for stream in self._streams:
            here.wait_stream(stream)
        return results


def _kept_until_done(value: Tensor, stream: torch.cuda.Stream) -> Tensor:
    """The value, whose memory no other is given before what the stream does now with it."""
    value.record_stream(stream)
    return value
