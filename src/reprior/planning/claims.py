"""Checks the claims of a study and lists their comparisons. All claims together are one artifact, judged by one job."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from reprior.errors import UserError
from reprior.planning import plugins
from reprior.planning.messages import reference
from reprior.planning.plan import Artifact
from reprior.planning.study import Claim, Study

CLAIMS = "claims"
"""Name and kind of the artifact, and the key in a study."""
Sides = list[tuple[str, str]]
"""The left and the right side of each comparison."""


def claims_artifact(study: Study, metrics: Mapping[str, str], path: Path) -> dict[str, Artifact]:
    """The artifact that compares a study's claims with its numbers, by its name; empty for a study without claims."""
    if not study.claims:
        return {}
    entries = [_claim(name, claim, study, metrics, path) for name, claim in study.claims.items()]
    constants = plugins.plugin("artifact", CLAIMS).constants
    settings = {
        "title": "What the paper says in words" if study.paper else "Claims",
        "cases": _used(study.cases, entries, "cases"),
        "methods": _used(study.methods, entries, "methods"),
        "claims": entries,
        "caption": "",
    }
    return {CLAIMS: Artifact(CLAIMS, CLAIMS, settings, tuple(constants["SUFFIXES"]), constants["READS"])}


def _claim(name: str, claim: Claim, study: Study, metrics: Mapping[str, str], path: Path) -> dict[str, Any]:
    """A claim with all its comparisons: each pair of `methods` on each pair of `cases`."""
    key = f"claims.{name}"
    reference(claim.metric, metrics, path, f"{key}.metric", "metric of this study")
    methods, cases = _methods(claim, study, path, key), _cases(claim, study, path, key)
    for (method, against), (case, against_case) in product(methods, cases):
        if (method, case) == (against, against_case):
            raise UserError(
                f"{path}: {key}: compares '{method}' on the case '{case}' with itself; correct 'against' or"
                " 'against_cases'"
            )
    if not any(_both_there(study, *sides) for sides in product(methods, cases)):
        raise UserError(
            f"{path}: {key}: none of its cases has the methods that it compares; correct 'cases', 'method' or"
            " 'against', or add the methods to a case"
        )
    kept = claim.model_dump(exclude={"metric", "method", "against", "cases", "against_cases"})
    return {"name": name, **kept, "metric": metrics[claim.metric], "methods": methods, "cases": cases}


def _methods(claim: Claim, study: Study, path: Path, key: str) -> Sides:
    for field, names in (("method", claim.method), ("against", claim.against or ())):
        for name in names:
            reference(name, study.methods, path, f"{key}.{field}", "method of this study")
    every = product(claim.method, claim.against) if claim.against else zip(claim.method, claim.method, strict=True)
    return list(dict.fromkeys(every))


def _cases(claim: Claim, study: Study, path: Path, key: str) -> Sides:
    left = _matching(claim.cases, study, path, f"{key}.cases")
    right = _matching(claim.against_cases or [], study, path, f"{key}.against_cases") or left
    if len(right) not in (1, len(left)):
        raise UserError(
            f"{path}: {key}.against_cases: expected one case, or one for each of the {len(left)} of 'cases', got"
            f" {len(right)}"
        )
    return list(dict.fromkeys(zip(left, right * len(left) if len(right) == 1 else right, strict=True)))


def _matching(patterns: Sequence[str], study: Study, path: Path, key: str) -> list[str]:
    """The cases that match the names or patterns: pattern by pattern, each in the study's order."""
    found = []
    for pattern in patterns:
        here = fnmatch.filter(study.cases, pattern)
        found += here or [reference(pattern, study.cases, path, key, "case of this study")]
    return found


def _both_there(study: Study, methods: tuple[str, str], cases: tuple[str, str]) -> bool:
    return all(method in study.cases[case].methods for method, case in zip(methods, cases, strict=True))


def _used(known: Iterable[str], entries: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The names that the claims use, in the study's order."""
    used = {name for entry in entries for sides in entry[key] for name in sides}
    return [name for name in known if name in used]
