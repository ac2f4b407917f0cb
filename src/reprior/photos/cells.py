"""What the command computes: one cell per method, and its place on disk."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.api.methods import checked_method
from reprior.errors import UserError
from reprior.jobs.code_fingerprint import code_fingerprint
from reprior.loading import load, module_name, needs
from reprior.machine.files import load_tensors, save_tensors
from reprior.methods.base import Reconstruction
from reprior.planning import plugins

BACK_PROJECTED = "-bp"
"""`iagan-bp` is back-projection of IAGAN's result, as in the studies."""
KEPT = ".kept"
"""The folder, among the outputs, of the results as tensors."""
CODE = ("reprior.photos.photo", "reprior.photos.tasks", "reprior.methods.base")


@dataclass(frozen=True)
class Cell:
    """One method and its settings. `start` is the cell from whose result it starts."""

    label: str
    spec: Mapping[str, Any]
    start: Cell | None = None

    @property
    def needs_generator(self) -> bool:
        """Whether the method or its start needs a generator."""
        return "generator" in needs(load("method", self.spec["name"])) or bool(
            self.start and self.start.needs_generator
        )

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """The specs of its starts and its own."""
        return [*(self.start.settings if self.start else ()), self.spec]

    def identity(self, origin: Mapping[str, Any]) -> str:
        """Hash of everything the result depends on: `origin` says what all cells share."""
        operator, generator = (module_name(kind, origin[kind]["name"]) for kind in ("operator", "generator"))
        methods = (module_name("method", spec["name"]) for spec in self.settings)
        code = code_fingerprint(*CODE, operator, generator, *methods)
        text = json.dumps([origin, self.settings, code], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def cells(labels: Sequence[str], steps: int | None) -> list[Cell]:
    """The cells of these methods, without the starts that were not asked for."""
    found = [cell(label.strip(), steps) for label in labels if label.strip()]
    if not found:
        raise UserError("--method: names no method; give one or several, such as csgm,iagan")
    return list({each.label: each for each in found}.values())


def cell(label: str, steps: int | None) -> Cell:
    """The cell of a label such as `csgm`, `iagan` or `iagan-bp`. `steps` is for each method that takes steps."""
    bare = label.removesuffix(BACK_PROJECTED)
    name = "back-projection" if bare != label else label
    known = plugins.plugin("method", name).settings.model_fields if name in plugins.names("method") else {}
    spec = checked_method({"name": name, **({"steps": steps} if steps is not None and "steps" in known else {})})
    starts = "start" in needs(load("method", name))
    return Cell(label, spec, cell(bare if bare != label else "csgm", steps) if starts else None)


@dataclass(frozen=True)
class Kept:
    """A finished cell."""

    image: Tensor
    """[1, C, H, W], not clipped."""
    latents: Tensor | None
    status: str
    seconds: float

    @property
    def reconstruction(self) -> Reconstruction:
        """As a start of another method."""
        return Reconstruction(self.image, self.latents, status=(self.status,))


def kept_path(out: Path, label: str) -> Path:
    """The file of a finished cell."""
    return out / KEPT / f"{label}.safetensors"


def keep(path: Path, found: Reconstruction, began: float, identity: str) -> Kept:
    """Write the result of a cell, which `began` at this `time.perf_counter()`."""
    finite = bool(found.images.isfinite().all())  # this waits for a GPU, so that the time is right
    seconds = time.perf_counter() - began
    status = (found.status or ("ok",))[0] if finite else "diverged"
    tensors = {"image": found.images} | ({} if found.latents is None else {"latents": found.latents})
    save_tensors(path, tensors, {"identity": identity, "status": status, "seconds": seconds})
    return Kept(found.images, found.latents, status, seconds)


def read_kept(path: Path, identity: str, device: torch.device) -> Kept | None:
    """The result of a cell. None if there is none, it is damaged, or anything that it depends on has changed."""
    try:
        tensors, meta = load_tensors(path)
    except UserError:
        return None
    if meta.get("identity") != identity or "image" not in tensors:
        return None
    image, latents = (tensors[name].to(device) if name in tensors else None for name in ("image", "latents"))
    return None if image is None else Kept(image, latents, meta["status"], meta["seconds"])
