"""What the report says first: how much was computed, which claims hold, and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reprior.render.artifacts.claims import FAILS, HOLDS
from reprior.render.verdict import NOT_RUN

CLAIMS = (HOLDS, FAILS, NOT_RUN)


def summary(
    methods: Sequence[str],
    cases: Mapping[str, Mapping[str, Any]],
    cells: Mapping[str, Mapping[str, Mapping[str, Any]]],
    claims: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Numbers of one study: its cells, of those that its artifacts ask for; its claims by verdict; its time."""
    asked = [len({*case["methods"], *case["gaps"]} & set(methods)) for case in cases.values()]
    records = [record for row in cells.values() for cell in row.values() for record in cell["records"]]
    verdicts = Counter(claim["verdict"] for claim in claims)
    return {
        "computed": sum(map(len, cells.values())),
        "cells": sum(asked),
        "claims": {word: verdicts[word] for word in CLAIMS},
        "seconds": sum(record["seconds"] + record["startup_seconds"] for record in records),
        "jobs": len(records),
        "devices": list(dict.fromkeys(record["device"] for record in records)),
    }


def total(studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same for all studies together."""
    added = {key: sum(study[key] for study in studies) for key in ("computed", "cells", "seconds", "jobs")}
    claims = {word: sum(study["claims"][word] for study in studies) for word in CLAIMS}
    devices = list(dict.fromkeys(device for study in studies for device in study["devices"]))
    return {**added, "claims": claims, "devices": devices}
