"""Generators by the name of their weights: bundled, published, or trained by a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reprior.acquire.fetch import acquire
from reprior.errors import UserError
from reprior.machine.files import read_json
from reprior.planning.messages import nearest
from reprior.planning.study import Spec
from reprior.planning.weights import Weights, known_weights
from reprior.stages.convert import convert

BUNDLED = Path(__file__).parents[1] / "generators" / "weights"


@dataclass(frozen=True)
class Found:
    """A generator: its architecture and its file of weights."""

    name: str
    spec: Spec
    weights: Path


def bundled() -> dict[str, Found]:
    """The generators that are part of the package, by the name of their weights."""
    facts = {path.stem: read_json(path) for path in sorted(BUNDLED.glob("*.json"))}
    return {
        name: Found(name, about["generator"], BUNDLED / f"{name}.safetensors")
        for name, about in facts.items()
        if "generator" in about
    }


def generator_spec(name: str) -> Spec:
    """The architecture of the generator with weights of this name; `UserError` if the name is unknown."""
    return ours.spec if (ours := bundled().get(name)) else _made(name).generator


def find_generator(name: str, data: Path, *, mirrors: Sequence[Path] = (), offline: bool = False) -> Found:
    """The generator with weights of this name. Published weights are fetched and converted into `data` if need be."""
    if ours := bundled().get(name):
        return ours
    about, path = _made(name), data / "weights" / f"{name}.safetensors"
    if not path.exists():
        if about.source is None or about.layout is None:
            raise UserError(f"{path}: there is no such file; `snakemake {path}` trains these weights")
        checkpoint = acquire(about.source, data / "raw", mirrors=mirrors, offline=offline)
        convert(checkpoint, about.generator, about.layout, path)
    return Found(name, about.generator, path)


def _made(name: str) -> Weights:
    """Weights of a generator that can be converted or trained."""
    known = {key: each for key, each in known_weights(Path()).items() if not (each.training and each.training.network)}
    if name not in known:
        raise UserError(f"generator '{name}': there are no weights of this name{nearest(name, [*bundled(), *known])}")
    return known[name]
