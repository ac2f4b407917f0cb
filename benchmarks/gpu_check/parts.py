"""Runs the parts one after the other, each in a fork of this process, and reports what they found.

A fork costs no imports, and an error of CUDA, which makes a process useless, ends only one part. This process itself
never uses CUDA, because a fork of a process that has used it cannot.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
State = Literal["ok", "failed", "measured", "skipped"]
ALL = "all of it"
RESULT = "gpu-check.json"
GRACE = 40.0
"""Seconds after its time at which a part is killed."""
_LEAVING = 15.0
"""Seconds that a part has to free the GPU when it is done."""
_BEGAN = time.monotonic()


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    part: str
    what: str
    result: str
    wanted: str = ""
    state: State = "measured"
    numbers: dict[str, Any] = field(default_factory=dict)
    """What the JSON has besides."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    device: str
    quick: bool
    out: Path
    root: Path
    """The top folder of the project."""
    loading: float = 0.0
    """Seconds that the imports of this process took."""


@dataclass(frozen=True)
class Check:
    """What a part is given: the settings, and ways to report."""

    part: str
    settings: Settings
    until: float
    """When the part should end, on the clock of `time.monotonic`."""
    send: Callable[[Finding], None]

    @property
    def device(self) -> Any:
        """The torch device."""
        import torch

        return torch.device(self.settings.device)

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.settings.device == "cuda"

    @property
    def quick(self) -> bool:
        """Whether this is only to see that it runs."""
        return self.settings.quick

    @property
    def left(self) -> float:
        """Seconds that the part still has."""
        return self.until - time.monotonic()

    def say(self, text: str) -> None:
        """Progress."""
        print(f"[{time.monotonic() - _BEGAN:6.1f} s] {self.part}: {text}", flush=True)

    def judged(self, what: str, result: str, wanted: str, good: bool, **numbers: Any) -> None:
        """Report something that has a limit."""
        self._found(what, result, wanted, "ok" if good else "failed", numbers)

    def measured(self, what: str, result: str, **numbers: Any) -> None:
        """Report something without a limit."""
        self._found(what, result, "", "measured", numbers)

    def skipped(self, what: str, why: str) -> None:
        """Report that something was not done."""
        self._found(what, why, "", "skipped", {})

    def failed(self, what: str, why: str, **numbers: Any) -> None:
        """Report that something could not be done although it should."""
        self._found(what, why, "no error", "failed", numbers)

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """An error in the block is a finding, and the part goes on."""
        try:
            yield
        except Exception as error:
            self.failed(what, described(error), traceback=traceback.format_exc())
            traceback.print_exc()

    def in_time(self, items: Iterable[T], name: Callable[[T], str], what: str = "the rest") -> Iterator[T]:
        """The items for which there is time. The others are reported as skipped."""
        wanted = list(items)
        for number, item in enumerate(wanted):
            if self.left <= 0:
                names = [name(each) for each in wanted[number:]]
                self.skipped(what, f"for time: {len(names)} of {len(wanted)}: {', '.join(names)}")
                return
            yield item

    def _found(self, what: str, result: str, wanted: str, state: State, numbers: dict[str, Any]) -> None:
        found = Finding(self.part, what, result, wanted, state, numbers)
        self.say(f"{what}: {result}{f' (wanted: {wanted})' if wanted else ''} {state}")
        self.send(found)


@dataclass(frozen=True)
class Part:
    """One part of the check."""

    name: str
    function: Callable[[Check], None]
    weight: float
    """Its share of the time. What it does not use goes to the parts after it."""
    vital: bool = False
    """If it fails as a whole, the parts after it are skipped."""


def described(error: BaseException) -> str:
    """An error in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}{place}"


def run_all(parts: Sequence[Part], settings: Settings, seconds: float) -> int:
    """Run the parts in at most about these seconds; print the table; return 1 if anything failed."""
    import torch  # noqa: F401 - once, for all forks

    end = time.monotonic() + seconds
    settings.out.mkdir(parents=True, exist_ok=True)
    found: list[Finding] = []
    ended = ""
    for number, part in enumerate(parts):
        now = time.monotonic()
        if ended or now >= end:
            found.append(Finding(part.name, ALL, ended or "for time", "", "skipped"))
            continue
        share = part.weight / sum(each.weight for each in parts[number:])
        try:
            in_a_fork(part, settings, now + share * (end - now), found)
        except KeyboardInterrupt:
            found.append(Finding(part.name, ALL, "stopped by the user", "to end", "failed"))
            ended = "since the user stopped it"
        if part.vital and any(each.what == ALL and each.state == "failed" for each in found):
            ended = f"since '{part.name}' failed"
        write(found, settings)
    write(found, settings)
    print_report(found, settings.out)
    return int(any(each.state == "failed" for each in found))


def in_a_fork(part: Part, settings: Settings, until: float, found: list[Finding]) -> None:
    """Run a part in a fork of this process, and append what it finds until it ends, crashes or is killed."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(part, settings, until, sending), name=part.name)
    process.start()
    sending.close()
    why = f"was stopped {GRACE:.0f} s after its time"
    try:
        while receiving.poll(max(0.0, until + GRACE - time.monotonic())):
            message = receiving.recv()
            if message is None:
                why = ""
                process.join(_LEAVING)
                break
            found.append(message)
    except EOFError:
        process.join(_LEAVING)
        why = f"its process ended with status {process.exitcode}"
    finally:
        _end(process)
    if why:
        found.append(Finding(part.name, ALL, why, "to end", "failed"))


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Kill what is left of a part: its process and those that it has started, which are one group."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _run(part: Part, settings: Settings, until: float, sending: Connection) -> None:
    """What the fork does."""
    os.setpgid(0, 0)
    check = Check(part.name, settings, until, sending.send)
    check.say(f"begins, with {check.left:.0f} s")
    with check.trying(ALL):
        part.function(check)
    sys.stderr.flush()
    sending.send(None)


def write(found: Sequence[Finding], settings: Settings) -> None:
    """Write everything found so far."""
    asked = {"device": settings.device, "quick": settings.quick, "date": time.strftime("%Y-%m-%d %H:%M:%S%z")}
    content = {"asked": asked, "findings": [asdict(each) for each in found]}
    (settings.out / RESULT).write_text(json.dumps(content, indent=1) + "\n")


def print_report(found: Sequence[Finding], out: Path) -> None:
    """The table, and what failed."""
    rows = [("part", "what", "result", "wanted", ""), *((f.part, f.what, f.result, f.wanted, f.state) for f in found)]
    widths = [min(60, max(len(row[column]) for row in rows)) for column in range(4)]
    print()
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[4]]).rstrip())
    failed = [each for each in found if each.state == "failed"]
    print(f"\n{len(failed)} failed" + (":" if failed else "."))
    for each in failed:
        print(f"  {each.part}: {each.what}: {each.result} (wanted: {each.wanted})")
    print(f"All numbers: {out}. Please send {out / RESULT}: see docs/gpu.md.")
