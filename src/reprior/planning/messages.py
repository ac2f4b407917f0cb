"""Checks what the user wrote. Every error is one message: file, key, what was expected, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from reprior.errors import UserError
from reprior.metrics import metric_id
from reprior.metrics.beside import BESIDE
from reprior.planning import plugins
from reprior.planning.study import Spec

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], content: Any, path: Path, key: str = "", also: Iterable[str] = ()) -> Model:
    """`content`, found at `key` of the file `path`, as a typed model. UserError with one message if it does not fit."""
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: {key or 'the file'}: expected keys with values, got {_shown(content)}")
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise UserError(_explained(error, model, path, key, also)) from error


def _explained(error: ValidationError, model: type[BaseModel], path: Path, key: str, also: Iterable[str]) -> str:
    problem = error.errors()[0]
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    where = f"{path}: {'.'.join(filter(None, [key, *place]))}".rstrip(": ")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{nearest(place[-1], [*_fields(model, place[:-1]), *also])}"
    if problem["type"] == "missing":
        return f"{where}: is missing; it must be given"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if problem["type"] == "value_error" else f", got {_shown(problem['input'])}"
    return f"{where}: {message}{given}"


def _fields(model: type[BaseModel], place: list[str]) -> Iterable[str]:
    """Field names of the model at `place` within `model`."""
    for part in place:
        if part in model.model_fields:
            found = _model_in(model.model_fields[part].annotation)
            model = found or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest valid name, and all valid names."""
    valid = sorted(known)
    close = difflib.get_close_matches(name.lower(), [v.lower() for v in valid], n=1, cutoff=0.5)
    hint = next((f"; did you mean '{v}'?" for v in valid if close and v.lower() == close[0]), "")
    return f"{hint or ';'} known: {', '.join(valid) or '(none)'}"


def checked_spec(kind: plugins.Kind, spec: Spec, path: Path, key: str, also: tuple[str, ...] = ()) -> Spec:
    """A plug-in's spec with every default filled in. `also` names allowed keys that are not its settings."""
    name = spec.get("name")
    if not isinstance(name, str):
        raise UserError(
            f"{path}: {key}.name: is missing; expected the name of a {kind}{nearest('', plugins.names(kind))}"
        )
    try:
        found = plugins.plugin(kind, name)
    except KeyError as error:
        raise UserError(
            f"{path}: {key}.name: there is no {kind} '{name}'{nearest(name, plugins.names(kind))}"
        ) from error
    settings = {k: v for k, v in spec.items() if k != "name" and k not in also}
    model = parse(found.settings, settings, path, key, also)
    return {"name": name, **{k: spec[k] for k in also if k in spec}, **model.model_dump()}


def reference(name: str, known: Collection[str], path: Path, key: str, what: str) -> str:
    """`name` if it is one of `known`; else UserError that names the nearest one."""
    if name not in known:
        raise UserError(f"{path}: {key}: there is no {what} '{name}'{nearest(name, known)}")
    return name


def known_metrics(specs: Sequence[Spec]) -> dict[str, str]:
    """Name that a user may give -> id of a metric. It is the id or, if only one metric has it, the plug-in."""
    names = [str(spec["name"]) for spec in specs]
    ids = {metric_id(spec): metric_id(spec) for spec in specs} | {name: name for name in BESIDE}
    return {str(spec["name"]): metric_id(spec) for spec in specs if names.count(spec["name"]) == 1} | ids
