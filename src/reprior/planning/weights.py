"""Where the weights of a generator come from: a published file that is converted, or a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprior.errors import UserError
from reprior.planning import plugins
from reprior.planning.messages import checked_spec
from reprior.planning.study import Spec, Training
from reprior.planning.yaml_files import load_recipes


@dataclass(frozen=True)
class Weights:
    """Weights that can be made, by name."""

    name: str
    generator: Spec
    """The architecture: the generator's plug-in and every setting."""
    stated: frozenset[str]
    """The settings that its publisher or recipe states; the others, such as a prior, are free."""
    source: str | None = None
    """The download that they are converted from."""
    layout: str | None = None
    """Under which names that download holds them."""
    training: Training | None = None

    @property
    def downloads(self) -> tuple[str, ...]:
        """Names of the downloads that they are made from."""
        if self.training is not None:
            return plugins.sources("dataset", self.training.dataset)
        return (self.source,) if self.source else ()


def known_weights(root: Path) -> dict[str, Weights]:
    """Everything that can be converted or trained, by name: `PUBLISHED` of each generator's module, and recipes/."""
    known = {weights.name: weights for weights in _published()}
    for name, (training, path) in load_recipes(root).items():
        if name in known:
            raise UserError(f"{path}: the name '{name}' is that of published weights; rename the file")
        generator = checked_spec("generator", training.generator, path, "generator")
        dataset = checked_spec("dataset", training.dataset, path, "dataset")
        stated = frozenset(training.generator)
        known[name] = Weights(
            name, generator, stated, training=training.model_copy(update={"generator": generator, "dataset": dataset})
        )
    return known


def _published() -> Iterator[Weights]:
    for plugin in plugins.names("generator"):
        published: Mapping[str, dict] = plugins.plugin("generator", plugin).constants.get("PUBLISHED", {})
        for name, facts in published.items():
            spec = {"name": plugin, **facts["settings"]}
            generator = checked_spec("generator", spec, Path(f"{plugin}.py"), f"PUBLISHED.{name}.settings")
            yield Weights(name, generator, frozenset(spec), facts["source"], facts["layout"])


def matching(known: Mapping[str, Weights], name: str, generator: Spec) -> str:
    """What keeps weights of this name from being used by a generator of these settings; empty if nothing does."""
    made = known[name].generator
    differing = [key for key in sorted(known[name].stated) if made[key] != generator.get(key)]
    return "; ".join(f"{key} is {made[key]!r} there and {generator.get(key)!r} here" for key in differing)
