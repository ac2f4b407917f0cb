"""Finds plug-ins and reads their settings from source, so that a plan never imports torch (3 s).

A plug-in named `foo-bar` (a data set, operator, generator, method, metric, artifact kind, ...) is the file `foo_bar.py`
in the package of its kind, or in the folder of that name in a folder of the user (`plugin_folders`). Its entry is the
function or class with the module's name, ignoring case and underscores. The entry's keyword-only arguments are its
settings. Its positional arguments are what it needs.
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
from reprior.errors import UserError
from reprior.loading import PACKAGES, Kind, same_name
from reprior.planning import plugin_folders

_ROOT = plugin_folders.PACKAGE
_REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    "metric": ("LABEL", "BETTER", "FORMAT"),
    "artifact": ("SUFFIXES", "READS"),
    "task": ("TRAINS",),
}
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
    path: Path
    """Its file."""
    constants: Mapping[str, Any]
    """The module's constants with literal values, such as `SUFFIXES` of an artifact kind."""


def names(kind: Kind) -> list[str]:
    """All plug-ins of a kind, by name."""
    return sorted(
        path.stem.replace("_", "-")
        for folder in _folders()
        for path in _place(folder, kind).glob("*.py")
        if _entry(_parsed(path), path.stem) is not None
    )


def package_names(kind: Kind) -> list[str]:
    """The plug-ins of a kind that are in the package, by name."""
    return [name for name in names(kind) if plugin(kind, name).path.is_relative_to(_ROOT)]


def plugin(kind: Kind, name: str) -> Plugin:
    """The plug-in of that name; KeyError if it does not exist."""
    return _plugin(kind, name, _folders())


@cache
def _plugin(kind: Kind, name: str, folders: tuple[Path, ...]) -> Plugin:
    paths = (_place(folder, kind) / f"{name.replace('-', '_')}.py" for folder in folders)
    path = next((path for path in paths if path.is_file()), None)
    entry = _entry(_parsed(path), path.stem) if path and "_" not in name else None
    if path is None or entry is None:
        if path and not path.is_relative_to(_ROOT):
            camel = "".join(word.capitalize() for word in name.split("-"))
            raise UserError(
                f"{path}: defines no {kind}; it needs a function {path.stem} or a class of that name, such as {camel}"
            )
        raise KeyError(name)
    arguments = _arguments(entry)
    needs = [argument for argument in arguments.args if argument.arg != "self"]
    networks = tuple(each.arg for each in needs if each.annotation and ast.unparse(each.annotation) == "nn.Module")
    named = tuple(each.arg for each in needs)
    constants = _constants(_parsed(path))
    if lacking := [constant for constant in _REQUIRED.get(kind, ()) if constant not in constants]:
        raise UserError(f"{path}: lacks the constant {lacking[0]}, which a {kind} must have: docs/extending.md")
    return Plugin(kind, name, named, networks, _settings_model(name, arguments, path), path, constants)


def sources(kind: Kind, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the downloads that a plug-in with these settings reads.

    They are the `SOURCES` of its module: names, or a mapping {setting: {value: names}} if they depend on a setting, or
    the setting that lists them.
    """
    named = plugin(kind, spec["name"]).constants.get("SOURCES", ())
    if isinstance(named, str):
        return tuple(spec[named])
    if isinstance(named, Mapping):
        return tuple(name for setting, by_value in named.items() for name in by_value[spec[setting]])
    return tuple(named)


def not_installed(kind: Kind, name: str) -> str:
    """Why a plug-in cannot run here: the package that the `PACKAGE` of its module names is missing. Empty if it can."""
    found = plugin(kind, name)
    package = found.constants.get("PACKAGE")
    if package is None or importlib.util.find_spec(package):
        return ""
    wanted = f"'reprior[{package}]'" if found.path.is_relative_to(_ROOT) else package
    return f"the package {package} is not installed; `pip install {wanted}`"


def kinds() -> tuple[Kind, ...]:
    """Every kind of plug-in."""
    return get_args(Kind)


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file; UserError if it has a syntax error."""
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: {error.msg}; correct this, then start again") from error


_parsed = cache(parsed)


def _folders() -> tuple[Path, ...]:
    return (_ROOT, *plugin_folders.used())


def _place(folder: Path, kind: Kind) -> Path:
    return folder / PACKAGES[kind].replace(".", "/")


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


def _settings_model(name: str, arguments: ast.arguments, path: Path) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        place = f"{path}:{argument.lineno}: the setting '{argument.arg}'"
        if argument.annotation is None:
            raise UserError(f"{place} has no type, such as {argument.arg}: float")
        try:  # evaluates only the source of plug-ins; only names of `reprior.types` and builtins resolve
            annotation = eval(ast.unparse(argument.annotation), dict(_ANNOTATIONS))
        except (NameError, AttributeError, TypeError) as error:
            raise UserError(
                f"{place} has a type that a plan cannot read: {error}; docs/extending.md lists them"
            ) from error
        try:
            fields[argument.arg] = (annotation, ... if default is None else ast.literal_eval(default))
        except ValueError as error:
            raise UserError(f"{place} has a default that is computed; write its value") from error
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
