"""Noise in each step: against SplitMix64 in Python's integers, and against the normal distribution."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from reprior.optimise.step_noise import StepNoise, _uniform
from reprior.seeds import seed_for

CPU = torch.device("cpu")
SHAPE = (3, 5, 7)


def splitmix(state: int) -> int:
    """The 64 bits that follow a state."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def expected(seed: int, step: int, values: int) -> list[float]:
    pairs = (values + 1) // 2
    bits = [splitmix(seed + (step * pairs + pair) * 0x9E3779B97F4A7C15) for pair in range(pairs)]
    signed = [((b >> 32) - (b >> 63 << 32), (b & 0xFFFFFFFF) - ((b >> 31 & 1) << 32)) for b in bits]
    uniform = [[((half >> 8) + 2**23 + 0.5) / 2**24 for half in halves] for halves in signed]
    radii = [math.sqrt(-2 * math.log(u)) for u, _ in uniform]
    cosines = [r * math.cos(2 * math.pi * v) for r, (_, v) in zip(radii, uniform, strict=True)]
    sines = [r * math.sin(2 * math.pi * v) for r, (_, v) in zip(radii, uniform, strict=True)]
    return [*cosines, *sines][:values]


@pytest.mark.parametrize("step", [0, 1, 3999])
def test_the_numbers_are_those_of_splitmix64(step: int) -> None:
    seeds = [0, 1, 2**63 - 1, seed_for("s", "c", "000001", "input noise")]
    assert splitmix(0) == 0xE220A8397B1DCDAF  # the first number of the published generator with seed 0
    found = StepNoise(seeds, SHAPE, CPU)(torch.tensor(step))
    assert found.shape == (4, *SHAPE) and found.dtype == torch.float32
    for row, seed in zip(found, seeds, strict=True):
        wanted = torch.tensor(expected(seed, step, math.prod(SHAPE)))
        torch.testing.assert_close(row.flatten(), wanted, rtol=2e-5, atol=2e-5)


def test_it_is_standard_normal_and_independent_between_steps_and_images() -> None:
    noise = StepNoise([seed_for("s", "c", image, "noise") for image in ("000001", "000002")], (40, 50, 50), CPU)
    rows = torch.cat([noise(torch.tensor(step)).flatten(1) for step in (0, 1)])
    for row in rows:
        assert stats.kstest(row.numpy(), "norm").pvalue > 0.001
        assert abs(float(stats.kurtosis(row.numpy()))) < 0.05
    halves = torch.cat(rows.chunk(2, 1))  # the two numbers of a pair, too
    correlation = torch.corrcoef(halves) - torch.eye(len(halves))
    assert correlation.abs().max() < 5 / math.sqrt(halves.shape[1])


def test_no_bits_give_a_number_without_logarithm() -> None:
    lowest, highest = -(2**63) + 2**31, 2**63 - 1 - 2**31  # both halves: 0x80000000, or 0x7fffffff
    for number in _uniform(torch.tensor([lowest, highest, 0, -1])):
        assert number.min() > 0 and number.max() <= 1
    first, _ = _uniform(torch.tensor([lowest]))
    assert first.item() == 2.0**-25
    found = StepNoise([7], (2**22,), CPU)
    assert all(found(torch.tensor(step)).isfinite().all() for step in range(16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_what_a_cpu_draws() -> None:
    seeds = [seed_for("s", "c", image, "noise") for image in ("000001", "000002")]
    here, there = (StepNoise(seeds, (32, 64, 64), torch.device(d))(torch.tensor(7, device=d)) for d in ("cpu", "cuda"))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-5, atol=1e-5)
