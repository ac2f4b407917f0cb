"""In which precision networks compute, and what stays in float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reprior.generators.base import Generator
from reprior.machine.precision import computing_in, layout
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.methods.csgm import csgm
from reprior.methods.dip import dip
from reprior.methods.iagan import iagan
from reprior.operators.base import in_float32
from reprior.operators.gaussian import Gaussian
from reprior.types import Precision

SMALL_DIP = {"scales": 2, "channels": 8, "input_depth": 4}
CPU = torch.device("cpu")


def run(method: str, problem: Problem, generator: Generator) -> Reconstruction:
    z = problem.draw("start", generator.draw_latent)
    start = Reconstruction(generator.image(z), z, status=("ok",) * len(problem))
    if method == "csgm":
        return solve(csgm, problem, generator, steps=8)
    if method == "iagan":
        return solve(iagan, problem, generator, start, steps=8)
    return solve(dip, problem, steps=8, **SMALL_DIP)


@pytest.mark.parametrize("method", ["csgm", "iagan", "dip"])
def test_bfloat16_is_close_to_float32_but_not_the_same(make_problem: Any, generator: Generator, method: str) -> None:
    problem = make_problem()
    exact, tf32, rounded = (
        run(method, replace(problem, precision=precision), generator) for precision in ("float32", "tf32", "bfloat16")
    )
    torch.testing.assert_close(tf32.images, exact.images, rtol=0, atol=1e-3)  # a CPU has no TF32
    assert rounded.images.dtype == torch.float32 and rounded.trace is not None and exact.trace is not None
    assert not torch.equal(exact.images, rounded.images)
    torch.testing.assert_close(rounded.trace[:, 0], exact.trace[:, 0], rtol=0.02, atol=0.02)
    torch.testing.assert_close(rounded.trace[:, -1], exact.trace[:, -1], rtol=0.1, atol=0.02)


def test_networks_see_bfloat16_and_everything_else_float32(make_problem: Any, generator: Generator) -> None:
    problem = make_problem(Gaussian((3, 16, 16), torch.Generator().manual_seed(0), ratio=0.2))
    seen: dict[str, torch.dtype] = {}
    measure = problem.operator.A

    def measured(x: Tensor) -> Tensor:
        seen["operator"] = measure(x).dtype
        return measure(x)

    problem.operator.A = measured
    generator.out.register_forward_hook(lambda module, inputs, output: seen.update(network=output.dtype))
    found = solve(csgm, replace(problem, precision="bfloat16"), generator, steps=2)
    assert seen == {"network": torch.bfloat16, "operator": torch.float32}
    assert found.latents is not None and found.latents.dtype == torch.float32
    assert found.loss is not None and found.loss.dtype == torch.float32


def test_an_operator_among_rounded_networks_and_its_gradient_are_exact() -> None:
    A = Gaussian((3, 16, 16), torch.Generator().manual_seed(0), ratio=0.2)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    (plain,) = torch.autograd.grad(A.A(x).square().sum(), x)
    precise, expected = in_float32(A), A.A(x)
    with computing_in("bfloat16", CPU):
        assert functional.linear(x.flatten(1), torch.ones(1, 768)).dtype == torch.bfloat16
        (found,) = torch.autograd.grad(precise.A(x).square().sum(), x)
        torch.testing.assert_close(precise.A(x), expected, rtol=0, atol=0)
        dagger = precise.A_dagger(precise.A(x.detach()))
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(dagger, A.A_dagger(A.A(x.detach())))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_the_precision_ends_with_its_block(precision: Precision) -> None:
    def state() -> tuple[bool, ...]:
        places = (torch.backends.cuda.matmul, torch.backends.cudnn)
        return (*(place.allow_tf32 for place in places), torch.is_autocast_enabled("cpu"))  # type: ignore[union-attr]

    before = state()
    with pytest.raises(ValueError, match="mine"), computing_in(precision, CPU):
        assert state() == (precision == "tf32", precision == "tf32", precision == "bfloat16")
        raise ValueError("mine")
    assert state() == before


@pytest.mark.parametrize(
    ("device", "precision", "last"),
    [("cpu", "float32", True), ("cpu", "bfloat16", True), ("cuda", "float32", False), ("cuda", "tf32", True)],
)
def test_only_float32_on_a_gpu_keeps_channels_first(device: str, precision: Precision, last: bool) -> None:
    assert layout(precision, device) == (torch.channels_last if last else torch.contiguous_format)
