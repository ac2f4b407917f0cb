"""Shared by the tests of `reprior restore`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprior.cli import main
from reprior.datasets.faces_drawn import FacesDrawn


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn face of 64 x 64 in the working folder."""
    monkeypatch.chdir(tmp_path)
    pixels = FacesDrawn().load(["000007"])[0].transpose(1, 2, 0)
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save("face.png")
    return Path("face.png")


@pytest.fixture
def restore(face: Path) -> Callable[..., Path]:
    """Runs the command on the drawn face with the bundled generator. Returns the folder of its outputs."""

    def run(*options: object, photo: str = "face.png", generator: str = "began-faces-drawn") -> Path:
        words = ["restore", photo, "--generator", generator, "--device", "cpu", *map(str, options)]
        main(words)
        task = words[words.index("--task") + 1]
        return Path(words[words.index("--out") + 1] if "--out" in words else f"restored/{Path(photo).stem}-{task}")

    return run
