"""BM3D: what the package `bm3d` is given, what is refused, and, where it is installed, how well it denoises."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reprior.datasets.faces_drawn import FacesDrawn
from reprior.errors import UserError
from reprior.methods.base import Problem
from reprior.methods.bm3d import bm3d
from reprior.operators.bicubic import Bicubic
from reprior.operators.identity import Identity

SIGMA = 25 / 255


def noisy(x: Tensor, noise: float = SIGMA) -> Problem:
    e = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    operator = Identity(tuple(x.shape[1:]), torch.Generator())
    return Problem(x + noise * e, operator, "s", "c", tuple(map(str, range(len(x)))), noise=noise)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Puts a package in the place of `bm3d` that notes its calls and halves its pictures."""
    found: list[SimpleNamespace] = []

    def noting(name: str) -> Callable[..., np.ndarray]:
        def denoise(z: np.ndarray, sigma_psd: float, profile: Any) -> np.ndarray:
            found.append(SimpleNamespace(name=name, z=z, sigma=sigma_psd, profile=profile))
            return z / 2

        return denoise

    package: Any = ModuleType("bm3d")
    package.bm3d, package.bm3d_rgb = noting("bm3d"), noting("bm3d_rgb")
    for profile in ("BM3DProfile", "BM3DProfileVN"):
        setattr(package, profile, type(profile, (), {"num_threads": 0}))
    monkeypatch.setitem(sys.modules, "bm3d", package)
    return found


def test_colour_images_are_denoised_one_by_one_as_pictures_of_height_width_channels(
    calls: list[SimpleNamespace],
) -> None:
    problem = noisy(torch.rand(3, 3, 8, 12))
    found = bm3d(problem)
    assert [(call.name, call.z.shape, call.sigma) for call in calls] == [("bm3d_rgb", (8, 12, 3), SIGMA)] * 3
    for call, y in zip(calls, problem.y, strict=True):
        np.testing.assert_allclose(call.z, y.permute(1, 2, 0))
    torch.testing.assert_close(found.images, problem.y / 2)
    assert found.status == ("ok",) * 3


def test_grey_images_are_denoised_as_pictures_without_channels(calls: list[SimpleNamespace]) -> None:
    problem = noisy(torch.rand(2, 1, 8, 12))
    found = bm3d(problem)
    assert [(call.name, call.z.shape) for call in calls] == [("bm3d", (8, 12))] * 2
    torch.testing.assert_close(found.images, problem.y / 2)


@pytest.mark.parametrize(("settings", "expected"), [({}, "BM3DProfile"), ({"profile": "vn"}, "BM3DProfileVN")])
def test_it_runs_in_one_thread_with_the_profile_that_is_asked_for(
    calls: list[SimpleNamespace], settings: Any, expected: str
) -> None:
    bm3d(noisy(torch.rand(1, 3, 8, 8)), **settings)
    assert (type(calls[0].profile).__name__, calls[0].profile.num_threads) == (expected, 1)


def test_what_is_not_denoising_is_refused(calls: list[SimpleNamespace]) -> None:
    x = torch.rand(1, 3, 16, 16)
    smaller = Bicubic((3, 16, 16), torch.Generator(), scale=4)
    for problem in (noisy(x, noise=0.0), Problem(smaller.A(x), smaller, "s", "c", ("0",), noise=SIGMA)):
        with pytest.raises(UserError, match="method bm3d only removes noise of known deviation"):
            bm3d(problem)
    assert not calls


def psnr(x: Tensor, truth: Tensor) -> list[float]:
    return (-10 * (x.clamp(0, 1) - truth).square().flatten(1).mean(1).log10()).tolist()


@pytest.mark.slow
def test_the_package_itself_removes_noise_from_each_image_alone() -> None:
    pytest.importorskip("bm3d", reason="needs the package bm3d (pip install 'reprior[bm3d]'; not for commercial use)")
    faces = FacesDrawn()
    x = torch.from_numpy(faces.load(faces.ids(0, 2)))
    for truth in (x, x[:, :1]):
        problem = noisy(truth)
        found = bm3d(problem).images
        gains = np.subtract(psnr(found, truth), psnr(problem.y, truth))
        assert (gains > 6).all()
        assert torch.equal(bm3d(problem[1:]).images, found[1:])
