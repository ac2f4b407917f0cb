"""What each task measures: its operator, and the observation of a photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from reprior.datasets.photographs import Box
from reprior.errors import UserError
from reprior.operators import make_operator
from reprior.operators.base import Operator
from reprior.operators.inpaint import Inpaint
from reprior.operators.noise import observed
from reprior.photos.photo import Photo, box_mask, fitted, read_mask, shrunk
from reprior.planning.messages import checked_spec

Name = Literal["sr", "inpaint", "deblur", "denoise", "cs"]
STUDY, IMAGE = "photo", "photo"
"""Study and image in the seeds of all draws. The case is the user's seed."""
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sr": ("factor",),
    "inpaint": ("mask", "box"),
    "deblur": ("width",),
    "denoise": (),
    "cs": ("ratio",),
}
"""The options of each task alone."""
FACTOR, WIDTH, RATIO, NOISE = 4, 9, 0.1, 0.1
"""What is taken if the user does not say. Noise only for denoising."""
_MOST = 2**31
"""Largest matrix of measurements, in bytes."""


@dataclass(frozen=True)
class Task:
    """What the user asked for. None: the default."""

    name: Name
    factor: int | None = None
    mask: Path | None = None
    box: tuple[int, ...] | None = None
    width: int | None = None
    ratio: float | None = None
    noise: float | None = None
    given: bool = False
    """Whether the photograph is the observation."""

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise, on the [0, 1] scale."""
        return self.noise if self.noise is not None else NOISE if self.name == "denoise" else 0.0

    @property
    def spec(self) -> dict[str, Any]:
        """The operator; for inpainting its mask is missing."""
        specs: dict[str, dict[str, Any]] = {
            "sr": {"name": "bicubic", "scale": self.factor or FACTOR, "padding": "reflect"},
            "inpaint": {"name": "inpaint"},
            "deblur": {"name": "blur", "width": self.width or WIDTH},
            "denoise": {"name": "identity"},
            "cs": {"name": "gaussian", "ratio": self.ratio or RATIO},
        }
        return specs[self.name]

    def check(self) -> None:
        """UserError if the options do not belong together."""
        for task, options in OPTIONS.items():
            for option in options:
                if task != self.name and getattr(self, option) is not None:
                    raise UserError(f"--{option}: belongs to --task {task}, not to {self.name}; remove it")
        if self.name == "inpaint" and (self.mask is None) == (self.box is None):
            raise UserError("--task inpaint: give either --mask FILE or --box TOP LEFT HEIGHT WIDTH")
        if self.name == "cs" and self.given:
            raise UserError("--given: a photo cannot be compressed measurements; remove --given from --task cs")
        for option, least in (("factor", 1), ("width", 1)):
            if (value := getattr(self, option)) is not None and value < least:
                raise UserError(f"--{option} {value}: must be at least {least}")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise UserError(f"--ratio {self.ratio}: must be above 0 and at most 1")
        if not 0 <= self.deviation < 10:
            raise UserError(f"--noise {self.noise}: must be 0 or more; pixels lie between 0 and 1")


@dataclass(frozen=True)
class Prepared:
    """A task on one photograph, at the size of the generator's images."""

    operator: Operator
    y: Tensor
    """[1, ...]"""
    truth: Tensor | None
    """[1, C, H, W]; None if the photograph is the observation."""
    done: tuple[str, ...]
    """What was done to the photograph."""
    warnings: tuple[str, ...]


def prepare(photo: Photo, box: Box, task: Task, shape: tuple[int, int, int], seed: int) -> Prepared:
    """Crop, scale and observe the photograph. `shape` is that of the generator's images."""
    operator = _operator(photo, box, task, shape, seed)
    channels, side, _ = shape
    small = task.given and task.name == "sr"
    side = operator.measurement_shape[1] if small else side
    holes = task.given and task.name == "inpaint"
    pixels = torch.from_numpy(fitted(photo, box, side, channels, "box" if holes else "lanczos").copy())[None]
    done, warnings = _told(photo, box, side, "box" if holes else "Lanczos", task.given)
    if isinstance(operator, Inpaint):
        done = (*done, f"hid {1 - operator.mask.float().mean().item():.1%} of its pixels")
    if not task.given:
        case = {"study": STUDY, "case": case_name(seed), "noise": task.deviation}
        return Prepared(operator, observed(operator, pixels, case, [IMAGE]), pixels, done, warnings)
    y = pixels if small else operator.A(pixels) if holes else pixels
    return Prepared(operator, y, None, done, warnings)


def case_name(seed: int) -> str:
    """The case in the seeds of all draws."""
    return f"seed {seed}"


def _operator(photo: Photo, box: Box, task: Task, shape: tuple[int, int, int], seed: int) -> Operator:
    _, height, width = shape
    if height != width:
        raise UserError(f"the generator's images are {height} x {width}; this command needs one with square images")
    if task.name == "inpaint":
        mask = read_mask(task.mask, photo) if task.mask else box_mask(task.box or (), photo)
        return Inpaint.of_mask(shape, torch.from_numpy(shrunk(mask, box, height).copy()))
    spec = checked_spec("operator", task.spec, Path(f"--task {task.name}"), "operator")
    if task.name == "cs":
        _check_memory(spec["ratio"], shape)
    return make_operator(STUDY, case_name(seed), spec, shape)


def _check_memory(ratio: float, shape: Sequence[int]) -> None:
    n = shape[0] * shape[1] * shape[2]
    if (size := 4 * ratio * n * n) > _MOST:
        raise UserError(
            f"--ratio {ratio}: the matrix of measurements would take {size / 2**30:.1f} GiB; "
            f"give at most {_MOST / 4 / n**2:.2f}, or a generator of smaller images"
        )


def _told(photo: Photo, box: Box, side: int, resize: str, given: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was done to the photograph, in words, and warnings."""
    left, top, right, _ = box
    used = right - left
    done = [f"read {photo.size} pixels", *photo.done]
    if (used, used) != photo.picture.size:
        done.append(f"cropped to {used} x {used} from row {top} and column {left}")
    if used != side:
        done.append(f"resized to {side} x {side} ({resize})")
    blurred = "it is less sharp than the task expects" if given else "the picture that counts as the truth is blurred"
    return tuple(done), (f"the photo was enlarged from {used} to {side} pixels, so {blurred}",) if used < side else ()
