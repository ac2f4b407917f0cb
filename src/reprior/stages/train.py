"""Data set and recipe -> weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reprior.training.run import train_network


def train(weights: Path, *, checkpoint_seconds: float = 60, **arguments: Any) -> None:
    """Train a network. Its checkpoint and log are next to the weights, so that it can continue if stopped."""
    checkpoint, log = (weights.with_name(f".{weights.stem}{suffix}") for suffix in (".checkpoint", ".jsonl"))
    train_network(weights, checkpoint=checkpoint, log=log, every_seconds=checkpoint_seconds, **arguments)
