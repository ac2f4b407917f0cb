"""Metrics: one file each, and how they are averaged over images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def metric_id(spec: Mapping[str, Any]) -> str:
    """The name of a metric in all results: the plug-in's name, and its network if any (`lpips-alex`)."""
    return f"{spec['name']}-{spec['net']}" if "net" in spec else str(spec["name"])
