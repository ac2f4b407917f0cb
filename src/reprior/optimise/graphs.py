"""CUDA graphs: a step that is the same each time is recorded once and then replayed as a whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_WARM_UP = 3
"""Steps before the recording: libraries choose their algorithms and allocate their work space in them."""
_wanted: ContextVar[bool] = ContextVar("graphs", default=True)


@contextmanager
def without_graphs() -> Iterator[None]:
    """Inside the block, each operation of a step is started by itself. For comparisons and for finding errors."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


class Replayed:
    """A function without arguments and result that works on the same tensors, in place, in each call.

    On CUDA, the first calls run it as it is, the next one records its kernels, and all others replay them: Python and
    the start of each kernel cost nothing then. If it cannot be recorded (it waits for the device, say), it runs as it
    is, and stderr says why. On other devices it always runs as it is.
    """

    def __init__(self, function: Callable[[], None], name: str, device: torch.device) -> None:
        self.function = function
        self.name = name
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" and _wanted.get() else None

    def __call__(self) -> None:
        """Run the function, or replay it."""
        if self.stream is not None and self.graph is None and self.calls == _WARM_UP:
            self._record(self.stream)
        self.calls += 1
        if self.graph is not None:
            self.graph.replay()
        elif self.stream is not None:
            self._run_beside(self.stream)
        else:
            self.function()

    def _run_beside(self, stream: torch.cuda.Stream) -> None:
        """Run on the stream of the recording, since libraries keep work space per stream."""
        here = torch.cuda.current_stream(stream.device)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            self.function()
        here.wait_stream(stream)

    def _record(self, stream: torch.cuda.Stream) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=stream):
                self.function()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            print(f"reprior: {self.name}: its steps cannot be a CUDA graph ({reason}); slower", file=sys.stderr)
            self.stream = None
        else:
            self.graph = graph
