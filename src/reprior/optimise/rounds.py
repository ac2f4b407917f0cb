"""Several optimisations one after the other, as one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from reprior.optimise.loop import Optimum


def round_name(method: str, number: int, rounds: int) -> str:
    """The `name` of a round for `minimise`: `ilo, round 2 of 4`. With its own name, a round can be resumed."""
    return f"{method}, round {number + 1} of {rounds}"


def joined(rounds: Sequence[Optimum]) -> Optimum:
    """The last round's result with the traces of all rounds. A row is `diverged` if it was so in any round."""
    status = tuple("diverged" if "diverged" in each else "ok" for each in zip(*(r.status for r in rounds), strict=True))
    return replace(rounds[-1], trace=torch.cat([each.trace for each in rounds], 1), status=status)
