"""Downloads that a run needs: which file, how it is known to be the right one, and where it is to be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reprior.errors import UserError


def sources() -> dict[str, dict[str, Any]]:
    """Every known download by its path under the data folder."""
    content = Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(content))


def how_to_place(path: Path) -> UserError:
    """What to tell a user who lacks the file `path`: its size, hash and address, and where to put it."""
    source = next((facts for name, facts in sources().items() if path.as_posix().endswith(f"/{name}")), None)
    if source is None:
        return UserError(
            f"{path}: is needed and not there, and no public source of it is known; place it there yourself"
        )
    facts = [f"{key}: {source[key]}" for key in ("size", "sha256", "md5", "url", "licence", "note") if key in source]
    return UserError(
        f"{path}: is needed and not there. This version does not download it: fetch it by hand and place it under "
        "exactly that name.\n  " + "\n  ".join(facts)
    )
