"""The report's page: its template, and how it writes numbers, settings and names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reprior.metrics.averaging import about

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def templates(package: str, folder: str) -> Environment:
    """The pages in a package's folder. A name that a page lacks is an error.

    The module that uses the pages names their folder: so its fingerprint contains them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template() -> Template:
    """The report's template."""
    environment = templates("reprior.render", "templates")
    environment.filters |= {
        "anchor": anchor,
        "by_interest": lambda metrics: sorted(metrics, key=interest),
        "duration": _duration,
        "label": lambda metric: about(metric).label,
        "noise": _noise,
        "number": _number,
        "shown": _shown,
        "spec": _spec,
    }
    return environment.get_template("report.html")


def _number(value: float | str | None, metric: str) -> str:
    """A number in the format of its metric. Numbers that JSON lacks, such as nan, are given as text."""
    return "–" if value is None else format(float(value), about(metric).format)


def _duration(seconds: float) -> str:
    """`45 s`, `12 min` or `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _noise(case: Mapping[str, Any]) -> str:
    """The noise of a case: `10/255`, `10/255, clipped`, `of norm 0.1`, or none."""
    clipped = ", clipped" if case.get("clip") else ""
    if "noise_norm" in case:
        return f"of norm {case['noise_norm']:.3g}{clipped}"
    return f"{255 * case['noise']:.3g}/255{clipped}" if case["noise"] else "none"


def interest(metric: str) -> tuple[bool, str]:
    """The order of metrics: image quality first, then time and memory."""
    return metric in ("seconds", "memory_mib"), metric


def _spec(spec: Mapping[str, Any] | str | None) -> str:
    """`bicubic (scale: 4)`"""
    if not isinstance(spec, Mapping):
        return spec or "none"
    settings = ", ".join(f"{key}: {_shown(value)}" for key, value in spec.items() if key != "name")
    return f"{spec.get('name', '')} ({settings})" if settings else str(spec.get("name", ""))


def _shown(value: Any) -> str:
    """A setting as text."""
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def anchor(*parts: str) -> str:
    """An id for an element: letters, digits, dots and dashes."""
    return "-".join(re.sub(r"[^A-Za-z0-9.]", "-", part) for part in parts)
