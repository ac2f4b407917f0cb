"""Operators of the package deepinv, in both directions: its physics as our operator, our operator as its physics."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator
from reprior.operators.solve import least_norm

if TYPE_CHECKING:
    from deepinv.physics import LinearPhysics

PACKAGE = "deepinv"
TOLERANCE = 1e-3
"""Of the adjoint: by how much <A x, y> and <x, A^T y> may differ, relative to |A x| |y|."""


class Deepinv(Operator):
    """y = A x with the A of a deepinv physics; its noise model and sensor are not used.

    In a study: `{name: deepinv, physics: {make: physics.Inpainting, img_size: [3, 64, 64], mask: 0.5}}`. `make` is what
    to call, named from `deepinv` on; all else are its arguments (see `made`). Random physics draw from the case's seed.
    """

    def __init__(self, image_shape: tuple[int, int, int], rng: torch.Generator, *, physics: dict) -> None:
        with seeded(int(torch.randint(2**62, (), generator=rng))):
            self._adopt(image_shape, made(physics))

    @classmethod
    def of(cls, physics: LinearPhysics, image_shape: Sequence[int]) -> Deepinv:
        """A physics object as an operator for images of this shape."""
        self = cls.__new__(cls)
        channels, height, width = image_shape
        self._adopt((channels, height, width), physics)
        return self

    def _adopt(self, image_shape: tuple[int, int, int], physics: Any) -> None:
        from deepinv.physics import LinearPhysics

        if not isinstance(physics, LinearPhysics):
            raise UserError(f"operator deepinv: {type(physics).__name__} is no LinearPhysics of deepinv")
        self.image_shape = image_shape
        self.physics = physics
        device = next((t.device for t in (*physics.buffers(), *physics.parameters())), torch.device("cpu"))
        self._check(torch.Generator().manual_seed(0), device)

    @torch.no_grad()
    def _check(self, rng: torch.Generator, device: torch.device) -> None:
        """Refuse a physics that does not fit the images, or whose adjoint is none."""
        name = type(self.physics).__name__
        x = torch.randn(2, *self.image_shape, generator=rng).to(device)
        try:
            Ax = self.physics.A(x)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"operator deepinv: {name} does not take images of shape {self.image_shape}: {error}"
            ) from error
        if not isinstance(Ax, Tensor) or Ax.is_complex():
            raise UserError(f"operator deepinv: measurements of {name} are no real tensor; such are not supported")
        self.measurement_shape = tuple(Ax.shape[1:])
        y = Ax + Ax.std() * torch.randn(Ax.shape, generator=rng).to(Ax)  # with Ax in it, both sides are large
        here, there = (Ax * y).sum(), (x * self.physics.A_adjoint(y)).sum()
        if (here - there).abs() > TOLERANCE * Ax.norm() * y.norm():
            raise UserError(
                f"operator deepinv: A_adjoint of {name} is not the adjoint of its A: <A x, y> = {here:.6g}, "
                f"<x, A_adjoint y> = {there:.6g}"
            )

    def A(self, x: Tensor) -> Tensor:
        """physics.A"""
        return self.physics.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """physics.A_adjoint"""
        return self.physics.A_adjoint(y)

    def A_dagger(self, y: Tensor) -> Tensor:
        """The closed form of the physics if it has one, else conjugate gradients of ours (`operators/solve.py`)."""
        from deepinv.physics import LinearPhysics

        if type(self.physics).A_dagger is not LinearPhysics.A_dagger:
            return self.physics.A_dagger(y)

        def A(x: Tensor) -> Tensor:
            return self.physics.A(x).flatten(1)

        def A_adjoint(rows: Tensor) -> Tensor:
            return self.physics.A_adjoint(rows.view(-1, *self.measurement_shape))

        return least_norm(A, A_adjoint, y.flatten(1), 1e-5)

    def picture(self, y: Tensor) -> Tensor | None:
        """y, if it has the shape of a picture of as many colours."""
        return y if y.ndim == 4 and y.shape[1] == self.image_shape[0] else None

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Deepinv:
        """Move the physics, in place."""
        self.physics.to(device)
        return super().to(device, dtype)


def as_operator(physics: LinearPhysics, image_shape: Sequence[int]) -> Operator:
    """A deepinv physics as an operator. Its adjoint is checked; a wrong one is an error."""
    return Deepinv.of(physics, image_shape)


def as_physics(operator: Operator, noise: float = 0.0) -> LinearPhysics:
    """An operator as a deepinv physics: A, its adjoint and pseudo-inverse are ours, the noise is deepinv's."""
    from deepinv.physics import GaussianNoise, LinearPhysics

    class OperatorPhysics(LinearPhysics):
        def A(self, x: Tensor, **_: Any) -> Tensor:
            return operator.A(x)

        def A_adjoint(self, y: Tensor, **_: Any) -> Tensor:
            return operator.A_adjoint(y)

        def A_dagger(self, y: Tensor, **_: Any) -> Tensor:
            return operator.A_dagger(y)

    model = {"noise_model": GaussianNoise(sigma=noise)} if noise else {}
    return OperatorPhysics(img_size=operator.image_shape, **model)


def made(spec: Any) -> Any:
    """The object of a spec: `{make: optim.PnP, denoiser: {make: models.TVDenoiser}}`.

    A mapping with `make` is a call of that class or function of deepinv with the other entries as arguments. Mappings
    and lists are made entry by entry. An argument `rng` that is not given is a generator of torch's present seed.
    Weights that deepinv would download are refused: their hash is not known.
    """
    if isinstance(spec, list):
        return [made(each) for each in spec]
    if not isinstance(spec, Mapping):
        return spec
    arguments = {key: made(value) for key, value in spec.items() if key != "make"}
    if "make" not in spec:
        return arguments
    name = str(spec["make"])
    function = _named(name)
    if "rng" in inspect.signature(function).parameters:
        arguments.setdefault("rng", torch.Generator().manual_seed(int(torch.randint(2**62, ()))))
    with _no_downloads(name):
        try:
            return function(**arguments)
        except (TypeError, ValueError, OSError) as error:
            raise UserError(f"deepinv.{name} cannot be made with {arguments or 'no arguments'}: {error}") from error


def _named(name: str) -> Callable[..., Any]:
    path, _, attribute = f"deepinv.{name}".rpartition(".")
    try:
        return getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"there is no `{name}` in deepinv; `make` is a name such as `models.TVDenoiser`") from error


@contextmanager
def _no_downloads(name: str) -> Iterator[None]:
    def refuse(url: str, *_: Any, **__: Any) -> None:
        raise UserError(
            f"deepinv.{name} would download {url.rpartition('/')[2]}, whose hash is not known;"
            " give `pretrained: <file>`, or `pretrained: null` for random weights"
        )

    with mock.patch("torch.hub.load_state_dict_from_url", refuse):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside the block, draws from torch's global generator depend on the seed only: deepinv's are of this kind."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
