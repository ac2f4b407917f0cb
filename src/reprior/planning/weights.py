"""Where a network's weights come from: a published file that is converted, or a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprior.errors import UserError
from reprior.planning import plugins
from reprior.planning.messages import checked_spec, reference
from reprior.planning.study import Spec, Training
from reprior.planning.yaml_files import load_recipes


@dataclass(frozen=True)
class Weights:
    """Weights that can be converted or trained."""

    name: str
    generator: Spec
    """The architecture: the plug-in of the generator or other network, with every setting."""
    stated: frozenset[str]
    """The settings that the publisher or the recipe fixes. The others, such as a prior, are free."""
    source: str | None = None
    """The download to convert."""
    layout: str | None = None
    """The naming scheme of the tensors in that download."""
    training: Training | None = None

    @property
    def against(self) -> Mapping[str, str]:
        """Names of the weights of the frozen generators that a training needs, by the task's names for them."""
        return self.training.against if self.training else {}

    @property
    def downloads(self) -> tuple[str, ...]:
        """Names of the downloads that they are made from."""
        if self.training is not None:
            return plugins.sources("dataset", self.training.dataset)
        return (self.source,) if self.source else ()


def known_weights(root: Path) -> dict[str, Weights]:
    """All weights that can be made, by name: `PUBLISHED` of each generator's module, and recipes/."""
    known = {weights.name: weights for weights in _published()}
    for name, (training, path) in load_recipes(root).items():
        if name in known:
            raise UserError(f"{path}: the name '{name}' is that of published weights; rename the file")
        known[name] = _trained(name, training, path)
    for name, weights in known.items():
        _check_against(known, weights, root / "recipes" / f"{name}.yaml")
    return known


def _trained(name: str, training: Training, path: Path) -> Weights:
    """The weights that a recipe makes, with every setting of network and data set."""
    task = str(training.recipe.get("task", "gan"))
    reference(task, plugins.names("task"), path, "recipe.task", "training task")
    objective = training.recipe.get("objective")
    if objective is not None:
        reference(str(objective), plugins.names("objective"), path, "recipe.objective", "objective")
    kind = plugins.plugin("task", task).constants["TRAINS"]
    given = {"generator": training.generator, "network": training.network}
    spec = given.pop(kind)
    if spec is None or any(given.values()):
        raise UserError(f"{path}: the task '{task}' trains a {kind}; of 'generator' and 'network', give only '{kind}'")
    network = checked_spec(kind, spec, path, kind)
    dataset = checked_spec("dataset", training.dataset, path, "dataset")
    return Weights(name, network, frozenset(spec), training=training.model_copy(update={"dataset": dataset}))


def _check_against(known: Mapping[str, Weights], weights: Weights, path: Path) -> None:
    """UserError unless a training has exactly the frozen generators that its task needs, and these can be made."""
    if weights.training is None:
        return
    task, given = weights.training.recipe.get("task", "gan"), weights.training.against
    needs = [need for need in plugins.plugin("task", task).needs if need not in ("network", "recipe", "device")]
    if sorted(needs) != sorted(given):
        asked, got = (", ".join(names) or "nothing" for names in (needs, given))
        raise UserError(f"{path}: against: the task '{task}' trains against {asked}; got {got}")
    for need, name in given.items():
        reference(name, known, path, f"against.{need}", "published or trainable weights")


def _published() -> Iterator[Weights]:
    for plugin in plugins.names("generator"):
        published: Mapping[str, dict] = plugins.plugin("generator", plugin).constants.get("PUBLISHED", {})
        for name, facts in published.items():
            spec = {"name": plugin, **facts["settings"]}
            generator = checked_spec("generator", spec, Path(f"{plugin}.py"), f"PUBLISHED.{name}.settings")
            yield Weights(name, generator, frozenset(spec), facts["source"], facts["layout"])


def matching(known: Mapping[str, Weights], name: str, generator: Spec) -> str:
    """Why a generator with these settings cannot use the weights of this name; empty if it can."""
    made = known[name].generator
    differing = [key for key in sorted(known[name].stated) if made[key] != generator.get(key)]
    return "; ".join(f"{key} is {made[key]!r} there and {generator.get(key)!r} here" for key in differing)
