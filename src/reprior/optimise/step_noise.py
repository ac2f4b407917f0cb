"""Noise that is new in each step, drawn where it is used: the same numbers on a CPU and on every GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_MIXING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
"""Shifts and factors of SplitMix64."""


class StepNoise:
    """N(0, 1), as a function of seed, step and position: called with a step, it gives [N, *shape] in float32.

    The integers are those of SplitMix64 (Steele, Lea, Flood 2014), a generator whose n-th number needs no other one.
    Seed i and n = step * pairs + pair give 64 bits, and Box and Muller's formula makes two normal numbers of them. So
    the integers are the same on each device, and the normal numbers are so up to rounding. Nothing waits for the
    device.
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], device: torch.device) -> None:
        self.shape = tuple(shape)
        self.values = math.prod(self.shape)
        self.pairs = (self.values + 1) // 2
        self.seeds = torch.tensor([_signed(seed) for seed in seeds], device=device)
        self.offsets = torch.arange(1, self.pairs + 1, device=device) * _signed(_GAMMA)

    def __call__(self, step: Tensor) -> Tensor:
        """The noise of a step, which is an integer of shape []: [N, *shape]."""
        first = step * _signed(self.pairs * _GAMMA)
        return torch.stack([self._row(seed + first) for seed in self.seeds.unbind()])

    def _row(self, state: Tensor) -> Tensor:
        """The numbers that follow the state of one seed: [*shape]. By rows, a CPU has them in its cache."""
        radius, angle = _uniform(_mixed(self.offsets + state))
        radius.log_().mul_(-2).sqrt_()
        angle.mul_(2 * math.pi)
        return torch.cat([angle.cos() * radius, angle.sin_().mul_(radius)])[: self.values].view(self.shape)


def _mixed(z: Tensor) -> Tensor:
    """SplitMix64's function of its state, in place. Products of int64 wrap around as those of uint64 do."""
    for shift, factor in _MIXING:
        z ^= (z >> shift).bitwise_and_((1 << (64 - shift)) - 1)  # >> of a negative number fills with ones
        if factor != 1:
            z *= _signed(factor)
    return z


def _uniform(bits: Tensor) -> tuple[Tensor, Tensor]:
    """64 bits as two numbers in (0, 1]: 24 bits of the upper and of the lower half, as float32 holds no more."""
    lower, upper = (half >> 8 for half in bits.view(torch.int32).view(-1, 2).unbind(1))  # -2^23 to 2^23 - 1
    # One sum of 2^23 + 1/2 would be rounded to 2^23, and the least number to 0, which has no logarithm.
    first, second = (half.to(torch.float32).add_(2**23).add_(0.5).mul_(2.0**-24) for half in (upper, lower))
    return first, second


def _signed(value: int) -> int:
    """The int64 of the same 64 bits."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value
