"""Renames the tensors of public checkpoints. Each generator's `converted` uses these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from reprior.errors import UserError

Layout = Callable[[Mapping[str, Any]], dict[str, Tensor]]
"""Converts a checkpoint with its publisher's names to a state dict with ours."""


def from_layout(state: Mapping[str, Any], layout: str, known: Mapping[str, Layout]) -> dict[str, Tensor]:
    """The state dict of a checkpoint with the names of `layout`, which is one of `known`."""
    if layout not in known:
        raise UserError(f"layout '{layout}': is not one of this generator's layouts: {', '.join(sorted(known))}")
    return known[layout](state)


def renamed(state: Mapping[str, Any], theirs: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under our names; `theirs` gives the checkpoint's name for each of ours."""
    return {ours: tensor(state, name) for ours, name in theirs.items()}


def part(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The group of tensors that a checkpoint holds under `name`; empty if there is none."""
    held = state.get(name)
    return held if isinstance(held, Mapping) else {}


def tensor(state: Mapping[str, Any], name: str) -> Tensor:
    """The tensor that a checkpoint holds under `name`."""
    if not isinstance(state.get(name), Tensor):
        held = f"{len(state)} entries, the first of which is '{next(iter(state))}'" if state else "nothing"
        raise UserError(
            f"the checkpoint holds no tensor '{name}', but {held}. "
            "The file is not what its name says, or has another layout: fetch it again, or name its layout."
        )
    return state[name]
