"""`import reprior` as a user of a notebook sees it."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import reprior
from reprior import api
from reprior.datasets.faces_drawn import FacesDrawn

SHAPE = (3, 64, 64)


@pytest.mark.parametrize("name", [name for name in reprior.__all__ if name != "UserError"])
def test_the_example_of_each_function_runs(name: str) -> None:
    """Each has a docstring with an example."""
    globs = {"reprior": reprior, "torch": torch}
    [test] = doctest.DocTestFinder(recurse=False).find(getattr(reprior, name), name, globs=globs)
    assert len(test.examples) >= 2
    told: list[str] = []
    assert doctest.DocTestRunner().run(test, out=told.append).failed == 0, "".join(told)


def test_importing_reprior_imports_no_torch() -> None:
    code = "import sys, reprior; assert 'restore' in dir(reprior); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_function_is_typed() -> None:
    for name in reprior.__all__:
        if inspect.isfunction(function := getattr(reprior, name)):
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty
            assert all(each.annotation is not each.empty for each in signature.parameters.values())


def faces(count: int) -> torch.Tensor:
    return torch.from_numpy(FacesDrawn().load([f"{number:06d}" for number in range(count)]))


def test_a_result_does_not_depend_on_the_batch() -> None:
    x = faces(3)
    A, G = reprior.operator("gaussian", SHAPE, measurements=200, seed=3), reprior.generator()
    y = reprior.observe(x, A, noise=0.01, seed=3)
    both = reprior.restore(y, A, generator=G, steps=5, seed=3)
    alone = reprior.restore(y[:1], A, generator=G, steps=5, seed=3)
    torch.testing.assert_close(both[:1], alone, rtol=1e-4, atol=1e-4)
    assert not torch.equal(alone, reprior.restore(y[:1], A, generator=G, steps=5, seed=4))


def test_a_prior_restores_a_face_better_than_a_grey_image() -> None:
    x = faces(1)
    A, G = reprior.operator("bicubic", SHAPE, scale=4), reprior.generator()
    x_hat = reprior.restore(reprior.observe(x, A), A, "csgm", generator=G, steps=60)
    assert reprior.measure(x_hat, x)["psnr"] > reprior.measure(torch.full_like(x, 0.5), x)["psnr"] + 3


def test_back_projection_agrees_with_the_observation() -> None:
    x = faces(1)
    A, G = reprior.operator("bicubic", SHAPE, scale=4, padding="reflect"), reprior.generator()
    y = reprior.observe(x, A)
    x_hat = reprior.restore(y, A, "back-projection", generator=G, start={"name": "csgm", "steps": 2})
    torch.testing.assert_close(A.A(x_hat), y, rtol=0, atol=1e-4)


def test_a_mask_hides_pixels() -> None:
    mask = torch.ones(64, 64, dtype=torch.bool)
    mask[:, :32] = False
    A = reprior.operator("inpaint", SHAPE, mask=mask)
    assert torch.equal(A.A_adjoint(A.A(torch.ones(1, *SHAPE))), mask.expand(1, *SHAPE).float())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reprior.operator("bicubix", SHAPE, scale=4), "did you mean 'bicubic'"),
        (lambda: reprior.operator("bicubic", SHAPE, scale=4, pading="zero"), "did you mean 'padding'"),
        (lambda: reprior.operator("bicubic", SHAPE), "scale: is missing"),
        (lambda: reprior.operator("bicubic", (64, 64), scale=4), "give .channels, height, width."),
        (lambda: reprior.operator("inpaint", SHAPE, mask=torch.ones(64, 64)), "give a boolean tensor"),
        (lambda: reprior.operator("blur", SHAPE, mask=torch.ones(64, 64) > 0), "operator inpaint"),
        (lambda: reprior.observe(torch.rand(*SHAPE), identity()), r"the operator takes \[N, 3, 64, 64\]"),
        (lambda: reprior.observe(torch.rand(1, *SHAPE), identity(), noise=-1), "is negative"),
        (lambda: reprior.generator("began-celeba-46"), "did you mean 'began-celeba-64'"),
        (lambda: reprior.restore(torch.rand(1, 3, 8, 8), identity()), r"the operator takes \[N, 3, 64, 64\]"),
        (lambda: reprior.restore(torch.rand(1, *SHAPE), identity()), "csgm: needs a generator"),
        (lambda: reprior.restore(torch.rand(1, *SHAPE), identity(), "npgd"), "also needs projector"),
        (lambda: reprior.restore(torch.rand(1, *SHAPE), identity(), "naive", steps=3), "unknown key"),
        (lambda: reprior.restore(torch.rand(1, *SHAPE), identity(), "naive", start="csgm"), "remove the start"),
        (
            lambda: reprior.restore(
                torch.rand(1, *SHAPE), identity(), generator=reprior.generator("npgd-digits-drawn")
            ),
            "make both for one shape",
        ),
        (lambda: reprior.measure(torch.rand(1, *SHAPE), torch.rand(2, *SHAPE)), "cannot be compared"),
        (lambda: reprior.measure(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)), "smaller than its window of 11 x 11"),
    ],
)
def test_a_mistake_is_one_message(call: object, message: str) -> None:
    with pytest.raises(reprior.UserError, match=message):
        call()  # type: ignore[operator]


def identity() -> api.Operator:
    return reprior.operator("identity", SHAPE)


def test_weights_that_cannot_be_fetched_say_what_to_place_where(tmp_path: Path) -> None:
    with pytest.raises(reprior.UserError, match=r"netG_200000.pth"):
        reprior.generator("began-celeba-64", data=tmp_path, offline=True)


def test_published_weights_are_found_in_a_mirror(tmp_path: Path, shared_data: Path) -> None:
    found = reprior.generator("began-celeba-64", data=tmp_path, mirrors=[shared_data], offline=True)
    assert found.image_shape == SHAPE
    assert (tmp_path / "weights" / "began-celeba-64.safetensors").is_file()
    (tmp_path / "raw" / "began" / "netG_200000.pth").unlink()
    again = reprior.generator("began-celeba-64", data=tmp_path, offline=True)
    assert torch.equal(again.state_dict()["out.bias"], found.state_dict()["out.bias"])
