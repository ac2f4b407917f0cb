"""Several optimisations one after the other, as one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from reprior.optimise.loop import Optimum


def round_name(method: str, number: int, rounds: int) -> str:
    """`ilo, round 2 of 4`: what `minimise` calls it. Each round has a name of its own, so that it can be resumed."""
    return f"{method}, round {number + 1} of {rounds}"


def joined(rounds: Sequence[Optimum]) -> Optimum:
    """The last round's result with the traces of all, `diverged` where any round was."""
    status = tuple("diverged" if "diverged" in each else "ok" for each in zip(*(r.status for r in rounds), strict=True))
    return replace(rounds[-1], trace=torch.cat([each.trace for each in rounds], 1), status=status)
