"""Numbers that are shown like metrics but have no plug-in. No numpy here: planning imports this module."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """How a metric is shown: its label, which way is better (`higher`, `lower` or neither) and its number format."""

    label: str
    better: str
    format: str
    interval: bool = True
    """True for what a method makes of the images; false for time, memory, numbers of parameters and the noise."""


BESIDE = {
    "psnr-mean": About("mean PSNR [dB]", "higher", ".2f"),
    "seconds": About("seconds per image", "", ".3f", interval=False),
    "memory_mib": About("peak memory [MiB]", "", ".0f", interval=False),
    "residual": About("relative residual", "", ".3g"),
    "noise-residual": About("relative residual of noise alone", "", ".3g", interval=False),
    "passes": About("passes per image", "", ",.0f", interval=False),
    "parameters": About("parameters optimised", "", ",.0f", interval=False),
    "alpha": About("\N{GREEK SMALL LETTER ALPHA}", "", ".3f"),
    "beta": About("\N{GREEK SMALL LETTER BETA}", "", ".3f"),
    "rec-alpha": About("restricted \N{GREEK SMALL LETTER ALPHA}", "", ".3g", interval=False),
    "rec-beta": About("restricted \N{GREEK SMALL LETTER BETA}", "", ".3g", interval=False),
}
