"""What `import reprior` offers: operators, observations, generators, methods and metrics, on tensors in memory.

Images are float32 [N, C, H, W] in [0, 1]. A result depends on its settings and seeds only: the row of an image, but not
the size of the batch, decides its draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.api.generators import find_generator
from reprior.api.methods import chain, check_generator, run
from reprior.errors import UserError
from reprior.generators.base import Generator, load_generator
from reprior.methods.base import Problem
from reprior.metrics.evaluation import evaluate
from reprior.operators import make_operator
from reprior.operators.base import Operator
from reprior.operators.inpaint import Inpaint
from reprior.operators.noise import observed
from reprior.optimise.watch import Watch
from reprior.planning.messages import checked_spec
from reprior.planning.study import Spec

__all__ = ["UserError", "generator", "measure", "observe", "operator", "restore"]

STUDY = "reprior"
"""The study in the seeds of all draws. The case is the user's seed."""


def operator(
    name: str, shape: Sequence[int], *, seed: int = 0, mask: Tensor | None = None, **settings: Any
) -> Operator:
    """Make the forward operator A for images of `shape`: (channels, height, width). `seed` is for random operators.

    `mask` [height, width] is for `inpaint` alone: it is True where a pixel is observed.

    >>> A = reprior.operator("bicubic", shape=(3, 64, 64), scale=4)
    >>> A.measurement_shape
    (3, 16, 16)
    """
    channels, height, width = _three(shape)
    if mask is not None:
        if name != "inpaint" or settings:
            raise UserError("reprior.operator: `mask` is the only setting of operator inpaint; remove the others")
        return Inpaint.of_mask((channels, height, width), mask)
    spec = checked_spec("operator", {"name": name, **settings}, Path("reprior.operator"), "operator")
    return make_operator(STUDY, _case(seed), spec, (channels, height, width))


def observe(x: Tensor, operator: Operator, *, noise: float = 0.0, clip: bool = False, seed: int = 0) -> Tensor:
    """Observe images: y = A x + e, with Gaussian noise e of deviation `noise`. `clip` cuts y off at 0 and 1.

    >>> A = reprior.operator("identity", shape=(3, 64, 64))
    >>> y = reprior.observe(torch.full((2, 3, 64, 64), 0.5), A, noise=0.1)
    >>> round(y.std().item(), 2)
    0.1
    """
    _check_shape("reprior.observe: images x", x, operator.image_shape)
    if noise < 0:
        raise UserError(f"reprior.observe: noise {noise} is negative; give a deviation of 0 or more")
    case = {"study": STUDY, "case": _case(seed), "noise": noise, "clip": clip}
    return observed(operator.to(x.device, torch.float32), x.float(), case, _ids(x))


def generator(
    name: str = "began-faces-drawn",
    *,
    device: str | torch.device = "cpu",
    data: str | Path = "data",
    mirrors: Sequence[str | Path] = (),
    offline: bool = False,
) -> Generator:
    """Load a trained generator by the name of its weights.

    Bundled weights, such as `began-faces-drawn`, are part of the package. Published ones, such as `began-celeba-64`,
    are fetched by hash into the folder `data`, converted and kept there. `mirrors` are folders to look in first.

    >>> G = reprior.generator("began-faces-drawn")
    >>> G.image(torch.zeros(1, *G.latent_shape)).shape
    torch.Size([1, 3, 64, 64])
    """
    found = find_generator(name, Path(data), mirrors=[Path(mirror) for mirror in mirrors], offline=offline)
    return load_generator(found.spec, found.weights, device)


def restore(
    y: Tensor,
    operator: Operator,
    method: str = "csgm",
    *,
    generator: Generator | None = None,
    start: str | Mapping[str, Any] | None = None,
    noise: float = 0.0,
    restarts: int = 1,
    seed: int = 0,
    progress: bool = False,
    **settings: Any,
) -> Tensor:
    """Restore images from observations y [N, ...] = A x + e by a method: [N, C, H, W], not clipped to [0, 1].

    `settings` are those of the method, such as `steps`; the others have its defaults. A method that starts from
    another's result, such as `iagan`, first runs `start`: a name, or a name with settings; `csgm` if not given.
    `noise` is the deviation of e, for methods that use it. Of several `restarts`, the one with the lowest loss counts.
    `progress` shows a bar. Everything runs on the device of y.

    >>> A, G = reprior.operator("bicubic", shape=(3, 64, 64), scale=4), reprior.generator("began-faces-drawn")
    >>> y = reprior.observe(torch.rand(2, 3, 64, 64), A)
    >>> x_hat = reprior.restore(y, A, method="iagan", generator=G, steps=2, start={"name": "csgm", "steps": 3})
    >>> x_hat.shape
    torch.Size([2, 3, 64, 64])
    """
    _check_shape("reprior.restore: observations y", y, operator.measurement_shape)
    specs = chain({"name": method, **settings}, start)
    y = y.float()
    problem = Problem(
        y,
        operator.to(y.device, torch.float32),
        STUDY,
        _case(seed),
        _ids(y),
        watch=Watch("reprior") if progress else Watch(),
        noise=noise,
    )
    check_generator(specs, operator, generator)
    generator = generator.to(y.device) if generator is not None else None
    found = run(specs[0], problem, generator, None, restarts)
    for spec in specs[1:]:  # each has a start, so that all its restarts would be the same
        found = run(spec, problem, generator, found)
    return found.images


def measure(
    x_hat: Tensor, x: Tensor, metrics: Sequence[str | Spec] = ("mse", "psnr", "ssim"), *, data: str | Path = "data"
) -> dict[str, Tensor]:
    """Compare restored images with the truth: {metric: a number per image, [N]}. x_hat is clipped to [0, 1] first.

    Metrics that read networks, such as `{"name": "lpips", "net": "alex"}`, take them from the folder `data`.

    >>> x = torch.zeros(2, 3, 64, 64)
    >>> reprior.measure(x + 0.1, x)["psnr"]
    tensor([20.0000, 20.0000], dtype=torch.float64)
    """
    specs = [
        checked_spec("metric", {"name": each} if isinstance(each, str) else each, Path("reprior.measure"), "metrics")
        for each in metrics
    ]
    estimate, truth = (images.detach().float().cpu().numpy() for images in (x_hat, x))
    found = evaluate(estimate, truth, specs, Path(data) / "raw")
    return {name: torch.from_numpy(values) for name, values in found.items()}


def _case(seed: int) -> str:
    return f"seed {seed}"


def _ids(rows: Tensor) -> tuple[str, ...]:
    return tuple(str(row) for row in range(len(rows)))


def _three(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"reprior.operator: shape {tuple(shape)}; give (channels, height, width), such as (3, 64, 64)")
    channels, height, width = shape
    return channels, height, width


def _check_shape(what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.ndim == 0 or len(tensor) == 0 or tuple(tensor.shape[1:]) != tuple(shape):
        wanted = ", ".join(map(str, ("N", *shape)))
        raise UserError(f"{what} have shape {tuple(tensor.shape)}; the operator takes [{wanted}]")
