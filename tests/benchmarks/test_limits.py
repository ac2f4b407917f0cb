"""What a step needs at least is counted rightly, the plain way is the same method, and the table goes to its place."""

from __future__ import annotations

import importlib
import os
import time
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from reprior.networks.skip import Skip

MATCHING = ("csgm", "iagan", "deep-decoder", "hybrid", "pgd-gan", "plug-and-play", "pulse", "ilo")
"""Methods whose plain form draws the same numbers, and is fast to run."""
DOCUMENT = "# A\n<!-- limits: begin -->\n\nold\n\n<!-- limits: end -->\n\n## B\n| x |\n"


@pytest.fixture(scope="module")
def workloads(root: Path) -> ModuleType:
    return imported(root, "workloads")


@pytest.fixture(scope="module")
def limits(root: Path) -> ModuleType:
    return imported(root, "limits")


def imported(root: Path, name: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / "benchmarks")
        return importlib.import_module(name)


def bicubic(size: int) -> int:
    """Operations of P x Q^T for three colours."""
    small = size // 4
    return 2 * 3 * (small * size * size + small * size * small)


@pytest.mark.parametrize(("method", "times"), [("csgm", 2), ("iagan", 3)])
def test_operations_of_began_are_those_of_its_layers(limits: ModuleType, method: str, times: int) -> None:
    """CSGM needs the image and the gradient of each layer's input, IAGAN that of each layer's weights, too."""
    (workload,) = limits.selected([method], [64])
    sides, channels, latent = (8, 16, 32, 64), 64, 64
    forward = 2 * latent * channels * 8**2  # the linear layer
    forward += sum(2 * 2 * 9 * channels**2 * side**2 for side in sides)  # two 3x3 convolutions at each side
    forward += 2 * 9 * channels * 3 * 64**2  # to colours
    assert limits.counted(workload).operations == times * forward + 2 * bicubic(64)


def test_operations_of_the_deep_decoder(limits: ModuleType) -> None:
    """The first layer needs no gradient of its input, A none of its matrix."""
    (workload,) = limits.selected(["deep-decoder"], [64])
    k, n, m = 15, 3 * 64**2, 1229
    first, *later = (2 * k * k * side**2 for side in (4, 8, 16, 32))
    out = 2 * k * 3 * 64**2
    assert workload.network == "15 channels"
    assert limits.counted(workload).operations == 2 * first + 3 * (sum(later) + out) + 2 * (2 * m * n)


def test_bytes_of_a_product(limits: ModuleType) -> None:
    """(v W)^2: v moves eight times, W once for four images; v W is saved, and so written and read."""
    W, v = torch.ones(5, 3, device="meta"), torch.ones(1, 5, device="meta", requires_grad=True)
    product = limits.Round(lambda step: (v @ W).square().sum(), (([v], 0.1),), (W,))
    cost = limits._counted(product, images=4)
    assert cost.moved == 4 * (8 * 5 + 3 * 5 / 4 + 2 * 3)
    assert cost.operations == 2 * (2 * 3 * 5)


@pytest.mark.parametrize("method", MATCHING)
def test_the_plain_way_takes_the_same_steps(workloads: ModuleType, method: str) -> None:
    (workload,) = workloads.selected([method], [64])
    ready = workload.ready("cpu", 1)
    trace = ready.ours(2).trace
    assert trace.shape == (1, 2 * workload.rounds)
    torch.testing.assert_close(torch.tensor(ready.plain(2)), trace, rtol=1e-4, atol=0)


def test_the_plain_network_of_deep_image_prior_is_the_same(workloads: ModuleType) -> None:
    ours, plain = Skip(32, 128, 4, 5), workloads.PlainSkip()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    x = torch.rand(1, 32, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), plain(x), rtol=1e-3, atol=1e-4)


def test_only_the_steps_are_timed(limits: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that takes 5 s in all and 2 s for each step."""
    clock = limits.Clock("cpu", matrix=8, copied=64)
    monkeypatch.setattr(clock, "seconds", lambda work: work())
    assert clock.seconds_of_step(lambda steps: 5 + 2 * steps, 4) == 2


def test_the_plain_way_is_timed_in_a_process_of_its_own(limits: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()

    def plain(steps: int) -> None:
        if steps > 10:
            raise RuntimeError("too many")
        if os.getpid() != here:
            time.sleep(0.02 * steps)

    workload = SimpleNamespace(method="m", size=64, images=1, name="m, 64 pixels")
    workload.ready = lambda device, images: SimpleNamespace(plain=plain)
    monkeypatch.setattr(limits, "selected", lambda methods, sizes: [workload])
    with limits.PlainWay("cpu") as way:
        assert 0.01 < way.seconds_of_step(workload, 4) < 1  # it sleeps 0.02 s; other work may hold it up
        with pytest.raises(RuntimeError, match="too many"):
            way.seconds_of_step(workload, 100)
        way._process.kill()
        with pytest.raises(RuntimeError, match="m, 64 pixels: the process of the plain way ended"):
            way.seconds_of_step(workload, 4)


def test_a_run_goes_on_with_the_rows_that_it_lacks(limits: ModuleType, tmp_path: Path) -> None:
    workload, path = SimpleNamespace(name="csgm, 64 pixels"), tmp_path / "limits.json"
    times = limits.Times(0.5, 1.5, 7)
    limits.Kept(path).add(workload, times, [(1.0, 2.0)])
    found = limits.Kept(path)
    assert found.times == {"csgm, 64 pixels": times}
    assert found.rates == [(1.0, 2.0)]


def test_rates_are_medians(limits: ModuleType) -> None:
    clock = limits.Clock("cpu", matrix=8, copied=64)
    clock.times = [(1.0, 2.0), (2.0, 4.0), (50.0, 90.0)]
    assert clock.rates() == limits.Rates(2 * 8**3 / 2, 2 * 64 / 4)


def test_unknown_methods_are_refused(workloads: ModuleType) -> None:
    with pytest.raises(ValueError, match="no such methods: foo"):
        workloads.selected(["foo"])


def test_only_the_text_between_the_markers_changes(limits: ModuleType) -> None:
    once = limits.replaced(DOCUMENT, "new\n")
    assert once == DOCUMENT.replace("old", "new")
    assert limits.replaced(once, "old\n") == DOCUMENT
    with pytest.raises(ValueError, match="needs the lines"):
        limits.replaced("# A\n", "new\n")


def test_the_document_has_the_markers(limits: ModuleType) -> None:
    assert "\n\nnew\n\n" in limits.replaced(limits.DOCUMENT.read_text(), "new\n")


@pytest.mark.parametrize(("seconds", "explained", "code"), [(1.0, False, 1), (1.0, True, 0), (1e-6, False, 0)])
def test_a_row_far_from_its_limit_needs_a_sentence(
    limits: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    explained: bool,
    code: int,
) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text(DOCUMENT)
    for name, value in prepared(limits, seconds, explained, document).items():
        monkeypatch.setattr(limits, name, value)
    monkeypatch.setattr("sys.argv", ["limits.py", "--methods", "csgm", "--sizes", "64", "--write"])
    assert limits.main() == code
    said = "csgm, 64 pixels: 1% of its limit, and WHY has no sentence" in capsys.readouterr().err
    assert said == (code == 1)
    assert (document.read_text() == DOCUMENT) == (code == 1)
    assert ("It waits." in document.read_text()) == explained


def prepared(limits: ModuleType, seconds: float, explained: bool, document: Path) -> dict[str, Any]:
    """Costs, times and rates as given: 10 ms are the limit."""

    class Clock:
        def __init__(self, device: str) -> None:
            self.times: list[tuple[float, float]] = []

        def rates(self) -> Any:
            return limits.Rates(1e9, 1e9)

    return {
        "Clock": Clock,
        "PlainWay": lambda device: nullcontext(),
        "DOCUMENT": document,
        "machine_line": lambda device, rates: "A machine.",
        "WHY": {("csgm", 64): "It waits."} if explained else {},
        "keep_freed_memory": lambda: None,
        "counted": lambda workload: limits.Cost(1e7, 1e6),
        "measured": lambda *arguments: limits.Times(seconds, 2 * seconds, 7),
    }
