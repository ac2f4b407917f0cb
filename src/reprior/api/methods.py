"""Methods by name, with what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.loading import load, needs
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.operators.base import Operator
from reprior.planning.messages import checked_spec
from reprior.planning.study import Spec

OFFERED = ("problem", "generator", "start")
"""What a method may need here. Others need networks or several starts, which only a study gives."""


def checked_method(spec: Spec) -> Spec:
    """The method's spec with every setting; `UserError` if it needs what only a study gives."""
    checked = checked_spec("method", spec, Path("reprior.restore"), "method")
    if missing := [need for need in needs(load("method", checked["name"])) if need not in OFFERED]:
        raise UserError(
            f"method {checked['name']}: also needs {' and '.join(missing)}; run it in a study, see docs/extending.md"
        )
    return checked


def chain(spec: Spec, start: str | Mapping[str, Any] | None = None) -> list[Spec]:
    """The methods to run one after the other: the last is that of `spec`, the others are its starts."""
    checked = checked_method(spec)
    if "start" not in needs(load("method", checked["name"])):
        if start is not None:
            raise UserError(f"method {checked['name']}: does not start from another's result; remove the start")
        return [checked]
    first = {"name": start} if isinstance(start, str) else dict(start or {"name": "csgm"})
    return [*chain(first), checked]


def check_generator(specs: Sequence[Spec], operator: Operator, generator: Generator | None) -> None:
    """UserError if a method needs a generator and there is none, or one of images of another shape."""
    user = next((spec["name"] for spec in specs if "generator" in needs(load("method", spec["name"]))), None)
    if user is None:
        return
    if generator is None:
        raise UserError(f"method {user}: needs a generator; give `generator=reprior.generator('began-faces-drawn')`")
    if generator.image_shape != operator.image_shape:
        raise UserError(
            f"method {user}: the generator makes images of shape {generator.image_shape}, the operator is for "
            f"{operator.image_shape}; make both for one shape"
        )


def run(
    spec: Mapping[str, Any],
    problem: Problem,
    generator: Generator | None,
    start: Reconstruction | None,
    restarts: int = 1,
) -> Reconstruction:
    """Run one method of a chain with what it needs."""
    settings = dict(spec)
    method = load("method", settings.pop("name"))
    given = {"generator": generator, "start": start}
    return solve(
        method, problem, *(given[need] for need in needs(method) if need != "problem"), restarts=restarts, **settings
    )
