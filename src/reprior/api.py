"""What `import reprior` offers: operators, observations, generators, methods and metrics, on tensors in memory.

Images are float32 [N, C, H, W] in [0, 1]. A result depends on its settings and seeds only: the row of an image, but not
the size of the batch, decides its draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprior.acquire.fetch import acquire
from reprior.errors import UserError
from reprior.generators.base import Generator, load_generator
from reprior.loading import load, needs
from reprior.machine.files import read_json
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.metrics.evaluation import evaluate
from reprior.operators import make_operator
from reprior.operators.base import Operator
from reprior.operators.inpaint import Inpaint
from reprior.operators.noise import observed
from reprior.optimise.watch import Watch
from reprior.planning.messages import checked_spec, nearest
from reprior.planning.study import Spec
from reprior.planning.weights import Weights, known_weights
from reprior.stages.convert import convert

__all__ = ["UserError", "generator", "measure", "observe", "operator", "restore"]

STUDY = "reprior"
"""The study in the seeds of all draws. The case is the user's seed."""
BUNDLED = Path(__file__).parent / "generators" / "weights"
OFFERED = ("problem", "generator", "start")
"""What a method may need here. Others need networks or several starts, which only a study gives."""


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
    chain = _chain({"name": method, **settings}, start)
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
    _check_generator(chain, operator, generator)
    generator = generator.to(y.device) if generator is not None else None
    found = run(chain[0], problem, generator, None, restarts)
    for spec in chain[1:]:  # each has a start, so that all its restarts would be the same
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


@dataclass(frozen=True)
class Found:
    """A generator: its architecture and its file of weights."""

    name: str
    spec: Spec
    weights: Path


def bundled() -> dict[str, Found]:
    """The generators that are part of the package, by the name of their weights."""
    facts = {path.stem: read_json(path) for path in sorted(BUNDLED.glob("*.json"))}
    return {
        name: Found(name, about["generator"], BUNDLED / f"{name}.safetensors")
        for name, about in facts.items()
        if "generator" in about
    }


def generator_spec(name: str) -> Spec:
    """The architecture of the generator with weights of this name; `UserError` if the name is unknown."""
    return ours.spec if (ours := bundled().get(name)) else _made(name).generator


def find_generator(name: str, data: Path, *, mirrors: Sequence[Path] = (), offline: bool = False) -> Found:
    """The generator with weights of this name. Published weights are fetched and converted into `data` if need be."""
    if ours := bundled().get(name):
        return ours
    about, path = _made(name), data / "weights" / f"{name}.safetensors"
    if not path.exists():
        if about.source is None or about.layout is None:
            raise UserError(f"{path}: there is no such file; `snakemake {path}` trains these weights")
        checkpoint = acquire(about.source, data / "raw", mirrors=mirrors, offline=offline)
        convert(checkpoint, about.generator, about.layout, path)
    return Found(name, about.generator, path)


def _made(name: str) -> Weights:
    """Weights of a generator that can be converted or trained."""
    known = {key: each for key, each in known_weights(Path()).items() if not (each.training and each.training.network)}
    if name not in known:
        raise UserError(f"generator '{name}': there are no weights of this name{nearest(name, [*bundled(), *known])}")
    return known[name]


def checked_method(spec: Spec) -> Spec:
    """The method's spec with every setting; `UserError` if it needs what only a study gives."""
    checked = checked_spec("method", spec, Path("reprior.restore"), "method")
    if missing := [need for need in needs(load("method", checked["name"])) if need not in OFFERED]:
        raise UserError(
            f"method {checked['name']}: also needs {' and '.join(missing)}; run it in a study, see docs/extending.md"
        )
    return checked


def _chain(spec: Spec, start: str | Mapping[str, Any] | None = None) -> list[Spec]:
    """The methods to run one after the other: the last is that of `spec`, the others are its starts."""
    checked = checked_method(spec)
    if "start" not in needs(load("method", checked["name"])):
        if start is not None:
            raise UserError(f"method {checked['name']}: does not start from another's result; remove the start")
        return [checked]
    first = {"name": start} if isinstance(start, str) else dict(start or {"name": "csgm"})
    return [*_chain(first), checked]


def _check_generator(chain: Sequence[Spec], operator: Operator, generator: Generator | None) -> None:
    """UserError if a method needs a generator and there is none, or one of images of another shape."""
    user = next((spec["name"] for spec in chain if "generator" in needs(load("method", spec["name"]))), None)
    if user is None:
        return
    if generator is None:
        raise UserError(f"method {user}: needs a generator; give `generator=reprior.generator('began-faces-drawn')`")
    if generator.image_shape != operator.image_shape:
        raise UserError(
            f"method {user}: the generator makes images of shape {generator.image_shape}, the operator is for "
            f"{operator.image_shape}; make both for one shape"
        )


def run(
    spec: Mapping[str, Any],
    problem: Problem,
    generator: Generator | None,
    start: Reconstruction | None,
    restarts: int = 1,
) -> Reconstruction:
    """Run one method of a chain with what it needs."""
    settings = dict(spec)
    method = load("method", settings.pop("name"))
    given = {"generator": generator, "start": start}
    return solve(
        method, problem, *(given[need] for need in needs(method) if need != "problem"), restarts=restarts, **settings
    )


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
