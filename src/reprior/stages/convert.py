"""Published checkpoint -> weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reprior.acquire.checkpoints import read_checkpoint
from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.machine.files import save_tensors
from reprior.networks.trained import check_fit


def convert(checkpoint: Path, generator: Mapping[str, Any], layout: str, out: Path) -> None:
    """Convert a published checkpoint to weights of one of our generators. UserError if it does not fit."""
    network = build_generator(generator)
    held = read_checkpoint(checkpoint)
    try:
        state = network.converted(held, layout)
    except UserError as error:  # it names tensors but not the file
        raise UserError(f"{checkpoint}: {error}") from error
    check_fit(network.state_dict(), state, checkpoint)
    save_tensors(out, state, {"generator": dict(generator), "source": checkpoint.name, "layout": layout})
