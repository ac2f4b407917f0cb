"""Weights kept during a training, and the choice among them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from reprior.machine.files import load_tensors, save_tensors


@dataclass(frozen=True)
class Candidates:
    """The candidates of one training: one file each in a folder, named by the number of steps done.

    A GAN may collapse at any time, so all are kept until one is chosen.
    """

    folder: Path
    fingerprint: str
    """Hash of what is trained. Files of another training are overwritten and never chosen."""

    def keep(self, step: int, network: nn.Module) -> None:
        """Write the weights after `step` steps, unless an interrupted run already did."""
        path = self._path(step)
        if not (path.exists() and self._ours(path)):
            save_tensors(path, network.state_dict(), {"fingerprint": self.fingerprint})

    def steps(self) -> list[int]:
        """The numbers of steps with a candidate, in order."""
        return [int(path.stem) for path in sorted(self.folder.glob("[0-9]*.safetensors")) if self._ours(path)]

    def load(self, step: int, network: nn.Module) -> nn.Module:
        """Put the weights of a candidate into `network`, frozen."""
        network.load_state_dict(load_tensors(self._path(step))[0])
        return network.eval().requires_grad_(False)

    def each(self, network: nn.Module) -> Iterator[tuple[int, nn.Module]]:
        """Every candidate in turn, each loaded into `network`."""
        for step in self.steps():
            yield step, self.load(step, network)

    def errors(self, network: nn.Module, measure: Callable[[nn.Module], Tensor]) -> dict[int, float]:
        """The mean error of each candidate. `measure` gives its errors on held-out images."""
        return {step: measure(each).cpu().double().mean().item() for step, each in self.each(network)}

    def remove(self) -> None:
        """Remove all candidates."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ours(self, path: Path) -> bool:
        return load_tensors(path)[1].get("fingerprint") == self.fingerprint

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:08d}.safetensors"


def best(errors: Mapping[int, float]) -> int:
    """The candidate with the lowest error; the earliest one if several have it."""
    return min(errors, key=lambda step: (errors[step], step))
