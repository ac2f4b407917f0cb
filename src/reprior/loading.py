"""Imports plug-ins and calls them. Jobs use this instead of `planning.plugins`, so they do not depend on its code."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Literal

Kind = Literal[
    "dataset", "operator", "generator", "method", "metric", "loss", "network", "task", "objective", "artifact"
]
PACKAGES: Mapping[str, str] = {
    "dataset": "datasets",
    "operator": "operators",
    "generator": "generators",
    "method": "methods",
    "metric": "metrics",
    "loss": "losses",
    "network": "networks",
    "task": "training.tasks",
    "objective": "training.objectives",
    "artifact": "render.artifacts",
}


def module_name(kind: Kind, name: str) -> str:
    """The module of a plug-in: `reprior.methods.back_projection`."""
    return f"reprior.{PACKAGES[kind]}.{name.replace('-', '_')}"


def names(kind: Kind) -> list[str]:
    """The modules of a kind: its plug-ins, and modules that they share."""
    package = importlib.import_module(f"reprior.{PACKAGES[kind]}")
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__))


def load(kind: Kind, name: str) -> Any:
    """Import a plug-in and return its function or class."""
    module = importlib.import_module(module_name(kind, name))
    entry = next(attribute for attribute in vars(module) if same_name(attribute, name.replace("-", "_")))
    return getattr(module, entry)


def needs(entry: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a plug-in's positional arguments: what it needs in addition to its settings."""
    parameters = inspect.signature(entry).parameters.values()
    return tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)


def call(kind: Kind, spec: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Call the plug-in of a spec such as `{name: psnr}` with what it needs of `given`, and with its settings."""
    settings = dict(spec)
    entry = load(kind, settings.pop("name"))
    return entry(*(given[need] for need in needs(entry)), **settings)


def same_name(name: str, stem: str) -> bool:
    """Whether a function or class is the entry of the module `stem`, ignoring case and underscores."""
    return name.lower().replace("_", "") == stem.replace("_", "") and not name.startswith("_")
