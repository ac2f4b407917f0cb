"""The study `npgd`: its plan at every scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprior.planning.footprint import made_weights
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config

ROOT = Path(__file__).parents[2]


def planned(scale: str, *also: str) -> Plan:
    return make_plan(ROOT, read_config(ROOT, [f"scale={scale}", "studies=npgd", *also]))


def computed(scale: str) -> set[str]:
    return {case.name for case, _ in planned(scale).cells()}


@pytest.mark.parametrize(
    ("scale", "downloads"),
    [
        ("demo", set()),
        ("small", {"classifiers/mnist.pth", "mnist/train-images-idx3-ubyte.gz", "npgd/mnisttest.zip"}),
    ],
)
def test_a_scale_downloads_no_more_than_it_needs(scale: str, downloads: set[str]) -> None:
    assert set(planned(scale).downloads) == downloads


def test_small_scale_trains_its_generator_its_projector_and_its_denoiser() -> None:
    names = {weights.name for weights in made_weights(planned("small"))}
    assert names == {"npgd-mnist-small", "npgd-mnist-small-inverse", "denoiser-mnist"}


def test_full_scale_trains_every_network_of_the_paper() -> None:
    names = {weights.name for weights in made_weights(planned("full"))}
    generators = {"npgd-mnist", "npgd-mnist-released", "npgd-celeba", "sagan-church-64"}
    assert names == generators | {f"{name}-inverse" for name in generators} | {"denoiser-mnist", "denoiser-celeba"}


@pytest.mark.parametrize("scale", ["demo", "small"])
def test_networks_of_a_scale_belong_together(scale: str) -> None:
    study = planned(scale).studies["npgd"]
    for generator, network in (("mnist", "of-mnist"), ("mnist-released", "of-mnist-released")):
        ours, theirs = study.generators[generator], study.networks[network]
        same = ("channels", "latent", "dropout") if scale == "small" else ("latent",)
        assert [ours[key] for key in same] == [theirs[key] for key in same]
    assert (
        study.generators["mnist"]["channels"]
        == study.networks["of-mnist"]["channels"]
        == {"demo": 32, "small": 64}[scale]
    )


def test_budgets_are_never_cut_since_time_is_the_result() -> None:
    steps = {}
    for scale in ("demo", "small", "full"):
        case = planned(scale).studies["npgd"].cases["digits-budgets"]
        steps[scale] = {name: cell.spec["steps"] for name, cell in case.cells.items()}
    assert steps["demo"] == steps["small"] == steps["full"]
    assert {steps["full"][name] for name in ("csgm-500", "csgm", "csgm-2000")} == {500, 1000, 2000}


def test_faces_and_churches_are_run_where_their_weights_are(tmp_path: Path) -> None:
    assert not any(case.startswith(("faces", "churches", "digits-released")) for case in computed("small"))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/npgd-celeba.safetensors").touch()
    with_faces = {case.name for case, _ in planned("small", f"data={tmp_path}").cells()}
    assert {"faces-0100", "faces-designed-5000", "faces-inpaint", "faces-sr-x2"} <= with_faces
    assert not any(case.startswith("churches") for case in with_faces)


def test_the_designed_matrix_is_one_file_for_every_m() -> None:
    matrices = planned("full").matrices
    assert sorted(Path(file).stem for file in matrices) == [
        "npgd-celeba-paper-20000-100000-500",
        "npgd-mnist-paper-10000-50000-500",
        "npgd-mnist-released-10000-50000-500",
    ]
