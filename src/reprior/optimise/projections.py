"""Projections of variables after each step: row by row, in place, without waiting for the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from reprior.optimise.loop import Variables


def norms(v: Tensor, axes: int = 1) -> Tensor:
    """||v|| over all axes but the first `axes`, in a shape that broadcasts with v.

    `axes` = 1 gives one norm per row. 2 gives one per row and layer of v [N, L, ...].
    """
    flat = v.flatten(axes).norm(dim=axes)
    return flat.view(*v.shape[:axes], *[1] * (v.ndim - axes))


def on_spheres(start: Mapping[str, Tensor], axes: Mapping[str, int]) -> Callable[[Variables], None]:
    """A `project` of `minimise` that keeps the variables named in `axes` at the norms that they have in `start`."""
    radii = {name: norms(start[name].detach(), number) for name, number in axes.items()}

    def project(variables: Variables) -> None:
        for name, radius in radii.items():
            v = variables[name]
            v.mul_(radius / norms(v, axes[name]).clamp_min(torch.finfo(v.dtype).tiny))

    return project


def to_l1_ball(v: Tensor, radius: float) -> Tensor:
    """The nearest point w with ||w||_1 <= radius to each row of v [N, ...] (Duchi et al. 2008, Fig. 1).

    w = sign(v) max(|v| - theta, 0). theta makes the l1 norm equal to the radius; it is 0 for v inside the ball.
    """
    u = v.flatten(1).abs().sort(1, descending=True).values  # [N, P]
    sums = u.cumsum(1) - radius
    count = torch.arange(1, u.shape[1] + 1, device=v.device, dtype=v.dtype)
    rho = (u * count > sums).sum(1, keepdim=True).clamp_min(1)
    theta = (sums.gather(1, rho - 1) / rho).clamp_min(0)
    return v.sign() * (v.abs() - theta.view(-1, *[1] * (v.ndim - 1))).clamp_min(0)


def near_start(start: Mapping[str, Tensor], radii: Mapping[str, float]) -> Callable[[Variables], None]:
    """A `project` of `minimise` that keeps each variable within an l1 radius of its `start`."""
    starts = {name: start[name].detach().clone() for name in radii}

    def project(variables: Variables) -> None:
        for name, radius in radii.items():
            variables[name].copy_(starts[name] + to_l1_ball(variables[name] - starts[name], radius))

    return project
