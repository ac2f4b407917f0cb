"""Any reconstructor of the package deepinv."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction
from reprior.operators.deepinv import as_physics, made, seeded
from reprior.seeds import seed_for

PACKAGE = "deepinv"
SOURCES = "downloads"
TAKES_LONG = True


def deepinv(
    problem: Problem,
    *,
    reconstructor: dict,
    downloads: list[str] = [],  # noqa: B006 - the planner reads literals
    alone: bool = True,
) -> Reconstruction:
    """x = R(y, A) for a reconstructor R of deepinv, such as plug-and-play with any of its denoisers, DPS or DiffPIR.

    Tachella et al.: DeepInverse: A Python package for solving imaging inverse problems with deep learning, 2025.

    `reconstructor` says what to make (`operators/deepinv.py`): `{make: optim.PGD, data_fidelity: {make: optim.L2},
    prior: {make: optim.PnP, denoiser: {make: models.TVDenoiser}}, max_iter: 100}`. Its noise model has the deviation of
    the case.

    - `downloads`: names of known downloads, such as weights. They are fetched and checked by hash. Where the name is an
      argument of `reconstructor`, the file takes its place: `pretrained: kair/drunet_color.pth`.
    - `alone`: each image by itself, with a reconstructor and a seed of its own. So no result depends on the batch.
      Some reconstructors mix the rows of a batch (deepinv 0.5: its CSGM, its Deep Image Prior, every stopping rule), so
      this is the default. If false, all images at once, with one seed: faster on a GPU.
    """
    rows = [slice(row, row + 1) for row in range(len(problem))] if alone else [slice(0, len(problem))]
    spec = _placed(reconstructor, {name: str(problem.raw / name) for name in downloads})
    images = torch.cat([_restored(problem, each, spec) for each in rows])
    return Reconstruction(images, status=("ok",) * len(problem))


def _placed(spec: Any, files: Mapping[str, str]) -> Any:
    """The spec with files instead of the names of downloads."""
    if isinstance(spec, Mapping):
        return {key: _placed(value, files) for key, value in spec.items()}
    if isinstance(spec, list):
        return [_placed(value, files) for value in spec]
    return files.get(spec, spec) if isinstance(spec, str) else spec


def _restored(problem: Problem, rows: slice, reconstructor: dict) -> Tensor:
    """The images of some rows: [n, C, H, W]."""
    y = problem.y[rows]
    physics = as_physics(problem.operator, problem.noise)
    with seeded(seed_for(problem.study, problem.case, problem.ids[rows.start], "deepinv")):
        network = made(reconstructor)
        if not isinstance(network, torch.nn.Module):
            raise UserError(
                f"method deepinv: {reconstructor.get('make')} makes no reconstructor;"
                " give for example `{make: optim.PGD, ...}`"
            )
        found = network.to(y.device)(y, physics)
    if found.shape != (len(y), *problem.operator.image_shape):
        raise UserError(
            f"method deepinv: the reconstructor makes {tuple(found.shape)} of "
            f"{len(y)} images of shape {problem.operator.image_shape}"
        )
    return found.detach()
