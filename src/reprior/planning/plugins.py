"""Finds plug-ins and reads their settings from source, so that a plan never imports torch (3 s).

A plug-in named `foo-bar` (a data set, operator, generator, method, metric, artifact kind, ...) is the file `foo_bar.py`
in the package of its kind. Its entry is the function or class with the module's name, ignoring case and underscores.
The entry's keyword-only arguments are its settings. Its positional arguments are what it needs.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, create_model

from reprior import types
from reprior.loading import PACKAGES, Kind, same_name

_ROOT = Path(__file__).parents[1]
_ANNOTATIONS = {"Literal": Literal, **{name: value for name, value in vars(types).items() if name[0].isupper()}}


@dataclass(frozen=True)
class Plugin:
    """What the planner reads from a plug-in's source."""

    kind: Kind
    name: str
    needs: tuple[str, ...]
    """Names of the entry's positional arguments. For example, a method with `start` starts from another's result."""
    networks: tuple[str, ...]
    """Those of type `nn.Module`: a method gets trained networks."""
    settings: type[BaseModel]
    constants: Mapping[str, Any]
    """The module's constants with literal values, such as `SUFFIXES` of an artifact kind."""


def names(kind: Kind) -> list[str]:
    """All plug-ins of a kind, by name."""
    return sorted(
        path.stem.replace("_", "-")
        for path in _folder(kind).glob("*.py")
        if _entry(_parsed(path), path.stem) is not None
    )


@cache
def plugin(kind: Kind, name: str) -> Plugin:
    """The plug-in of that name; KeyError if it does not exist."""
    path = _folder(kind) / f"{name.replace('-', '_')}.py"
    entry = _entry(_parsed(path), path.stem) if path.is_file() and "_" not in name else None
    if entry is None:
        raise KeyError(name)
    arguments = _arguments(entry)
    needs = [argument for argument in arguments.args if argument.arg != "self"]
    networks = tuple(each.arg for each in needs if each.annotation and ast.unparse(each.annotation) == "nn.Module")
    named = tuple(each.arg for each in needs)
    return Plugin(kind, name, named, networks, _settings_model(name, arguments), _constants(_parsed(path)))


def sources(kind: Kind, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the downloads that a plug-in with these settings reads.

    They are the `SOURCES` of its module: names or, if they depend on a setting, a mapping {setting: {value: names}}.
    """
    named = plugin(kind, spec["name"]).constants.get("SOURCES", ())
    if isinstance(named, Mapping):
        return tuple(name for setting, by_value in named.items() for name in by_value[spec[setting]])
    return tuple(named)


def not_installed(kind: Kind, name: str) -> str:
    """Why a plug-in cannot run here: the package that the `PACKAGE` of its module names is missing. Empty if it can."""
    package = plugin(kind, name).constants.get("PACKAGE")
    if package is None or importlib.util.find_spec(package):
        return ""
    return f"the package {package} is not installed; `pip install 'reprior[{package}]'`"


def kinds() -> tuple[Kind, ...]:
    """Every kind of plug-in."""
    return get_args(Kind)


def _folder(kind: Kind) -> Path:
    return _ROOT / PACKAGES[kind].replace(".", "/")


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _entry(module: ast.Module, stem: str) -> ast.FunctionDef | ast.ClassDef | None:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and same_name(node.name, stem):
            return node
    return None


def _arguments(entry: ast.FunctionDef | ast.ClassDef) -> ast.arguments:
    if isinstance(entry, ast.FunctionDef):
        return entry.args
    for node in entry.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node.args
    return ast.arguments([], [], None, [], [], None, [])


def _settings_model(name: str, arguments: ast.arguments) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.annotation is None:
            raise TypeError(f"{name}: the setting '{argument.arg}' has no type")
        # Evaluates only the package's own source; only names of `reprior.types` and builtins resolve.
        annotation = eval(ast.unparse(argument.annotation), dict(_ANNOTATIONS))
        fields[argument.arg] = (annotation, ... if default is None else ast.literal_eval(default))
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True, validate_default=True), **fields)


def _constants(module: ast.Module) -> dict[str, Any]:
    constants = {}
    for node in module.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
            try:
                constants[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # not a literal: a plan cannot use it
    return constants
