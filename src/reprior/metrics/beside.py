"""The numbers that stand beside the metrics of plug-ins. Free of numpy, so that a plan can name them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """How a metric is shown: its label, which way is better (`higher`, `lower` or neither) and its number format."""

    label: str
    better: str
    format: str
    interval: bool = True
    """Whether its average hangs on the choice of images; times and memory hang on the machine."""


BESIDE = {
    "psnr-mean": About("mean PSNR [dB]", "higher", ".2f"),
    "seconds": About("seconds an image", "", ".2f", interval=False),
    "memory_mib": About("peak memory [MiB]", "", ".0f", interval=False),
    "parameters": About("parameters optimised", "", ",.0f", interval=False),
    "alpha": About("\N{GREEK SMALL LETTER ALPHA}", "", ".3f"),
    "beta": About("\N{GREEK SMALL LETTER BETA}", "", ".3f"),
}
