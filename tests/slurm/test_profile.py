"""The cluster profile and the rules agree."""

from __future__ import annotations

import re
from pathlib import Path

import yaml


def test_the_profile_names_rules_that_exist(root: Path) -> None:
    """Snakemake does not report resources for a rule that does not exist."""
    rules = "\n".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    names = re.findall(r"^(?:use rule \w+ as|rule) (\w+)", rules, flags=re.MULTILINE)
    profile = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())
    assert profile["set-resources"].keys() <= set(names)
