"""Reconstructors of deepinv as methods, against deepinv itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reprior.datasets.faces_drawn import FacesDrawn
from reprior.errors import UserError
from reprior.methods.base import Problem
from reprior.methods.deepinv import deepinv
from reprior.operators import make_operator
from reprior.operators.deepinv import as_physics, made
from reprior.planning import plugins

PNP = {
    "make": "optim.PGD",
    "data_fidelity": {"make": "optim.L2"},
    "prior": {"make": "optim.PnP", "denoiser": {"make": "models.MedianFilter"}},
    "max_iter": 10,
    "sigma_denoiser": 0.02,
}
DIP = {
    "make": "models.DeepImagePrior",
    "generator": {
        "make": "models.ConvDecoder",
        **{"img_size": [3, 64, 64], "in_size": [4, 4], "layers": 4, "channels": 8},
    },
    "img_size": [8, 4, 4],
    "iterations": 10,
}


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """deepinv is imported only by the process that runs these tests, since that takes seconds."""
    pytest.importorskip("deepinv", reason="the package deepinv is not installed")


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Super-resolution by 2 of four faces."""
    x = torch.from_numpy(FacesDrawn().load([f"{number:06}" for number in range(4)]))
    operator = make_operator("s", "c", {"name": "bicubic", "scale": 2}, (3, 64, 64))
    y = operator.A(x)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return Problem(y + 0.02 * noise, operator, "s", "c", ("0", "1", "2", "3"), noise=0.02)


@pytest.mark.parametrize("reconstructor", [PNP, DIP], ids=["pnp", "dip"])
def test_four_images_are_as_four_alone(problem: Problem, reconstructor: dict[str, Any]) -> None:
    together = deepinv(problem, reconstructor=reconstructor)
    alone = torch.cat([deepinv(problem[row : row + 1], reconstructor=reconstructor).images for row in range(4)])
    torch.testing.assert_close(together.images, alone)
    assert together.status == ("ok",) * 4


def test_it_is_what_deepinv_makes(problem: Problem) -> None:
    first = problem[:1]
    theirs = made(PNP)(first.y, as_physics(problem.operator, 0.02))
    torch.testing.assert_close(deepinv(first, reconstructor=PNP).images, theirs)
    error = {name: first.residual(x) for name, x in (("pnp", theirs), ("zero", torch.zeros_like(theirs)))}
    assert error["pnp"] < 0.1 * error["zero"]


def test_rows_that_are_apart_may_be_restored_at_once(problem: Problem) -> None:
    alone, at_once = (deepinv(problem, reconstructor=PNP, alone=alone).images for alone in (True, False))
    assert (alone - at_once).square().mean() < 1e-4


def test_what_is_no_reconstructor_is_refused(problem: Problem) -> None:
    with pytest.raises(UserError, match="method deepinv: physics.functional.gaussian_blur makes no reconstr"):
        deepinv(problem, reconstructor={"make": "physics.functional.gaussian_blur"})


def test_weights_that_it_names_are_read_from_the_downloads(problem: Problem, tmp_path: Path) -> None:
    small = {"make": "models.DnCNN", "depth": 3, "nf": 4}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        weights = made({**small, "pretrained": None}).state_dict()
    file = tmp_path / "some/dncnn.pth"
    file.parent.mkdir()
    torch.save(weights, file)

    def with_weights(pretrained: str) -> dict[str, Any]:
        return {**PNP, "prior": {"make": "optim.PnP", "denoiser": {**small, "pretrained": pretrained}}, "max_iter": 2}

    first = replace(problem[:1], raw=tmp_path)
    named = deepinv(first, reconstructor=with_weights("some/dncnn.pth"), downloads=["some/dncnn.pth"])
    torch.testing.assert_close(named.images, deepinv(first, reconstructor=with_weights(str(file))).images)
    assert not torch.equal(named.images, deepinv(first, reconstructor=PNP | {"max_iter": 2}).images)


def test_weights_that_are_not_there_are_told(problem: Problem) -> None:
    denoiser = {"make": "models.DnCNN", "depth": 3, "nf": 4, "pretrained": "kair/drunet_colour.pth"}
    reconstructor = {**PNP, "prior": {"make": "optim.PnP", "denoiser": denoiser}}
    with pytest.raises(UserError, match=r"models.DnCNN cannot be made with .*No such file .*kair/drunet_colour.pth"):
        deepinv(problem, reconstructor=reconstructor, downloads=["kair/drunet_color.pth"])


def test_its_downloads_are_those_of_the_plan() -> None:
    spec = {"name": "deepinv", "reconstructor": {}, "downloads": ["kair/drunet_color.pth"]}
    assert plugins.sources("method", spec) == ("kair/drunet_color.pth",)
