"""The study `ilo`: its plan at every scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprior.planning.plan import Plan, render_spec
from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config

ROOT = Path(__file__).parents[2]
LPIPS = "lpips"


def planned(scale: str) -> Plan:
    return make_plan(ROOT, read_config(ROOT, [f"scale={scale}", "studies=ilo"]))


@pytest.mark.parametrize(
    ("scale", "downloads"),
    [
        ("demo", set()),
        ("small", {"celeba/csgm_celebAtest.zip", "classifiers/cifar_small_36px.pth", "lpips/squeezenet1_1.pth"}),
        (
            "full",
            {
                "celebahq/CelebAMask-HQ.zip",
                "classifiers/resnet50_l2_eps3.ckpt",
                "lpips/vgg16.pth",
                "stylegan2/ffhq.pkl",
            },
        ),
    ],
)
def test_a_scale_downloads_no_more_than_it_needs(scale: str, downloads: set[str]) -> None:
    assert set(planned(scale).downloads) == downloads


@pytest.mark.parametrize("scale", ["demo", "small", "full"])
def test_few_pixels_are_inpainted_without_lpips(scale: str) -> None:
    study = planned(scale).studies["ilo"]
    for name, case in study.cases.items():
        if name.startswith("inpaint-") and case.gap is None:
            terms = {term["name"] for term in case.cells["ilo"].spec["loss"]}
            scarce = name.removeprefix("inpaint-") in ("001", "005", "010")
            assert terms == ({"squared-error"} if scarce or scale == "demo" else {"squared-error", LPIPS})


def test_every_denoising_has_clipped_noise_and_sna() -> None:
    study = planned("full").studies["ilo"]
    noisy = {name: case for name, case in study.cases.items() if name.startswith("denoise-")}
    assert len(noisy) == 6
    for case in noisy.values():
        assert case.clip
        without = {name for name, cell in case.cells.items() if not cell.spec.get("sna")}
        assert without <= {"bm3d", "csgm-no-sna", "ilo-no-sna"}


def test_the_demo_does_without_lpips_and_says_so() -> None:
    study = planned("demo").studies["ilo"]
    assert "without the loss lpips" in study.note
    gaps = study.cases["sr-x4"].cell_gaps
    assert set(gaps) == {"csgm-lpips", "csgm-both"} and "download" in gaps["csgm-lpips"]


def test_each_study_tells_why_its_own_lpips_is_missing_in_the_demo() -> None:
    plan = make_plan(ROOT, read_config(ROOT, ["scale=demo"]))
    for study, metric in (("iagan", "lpips-alex"), ("ilo", "lpips-vgg")):
        gaps = render_spec(plan, study, "table1")["metric_gaps"]
        assert list(gaps) == [metric] and "download" in gaps[metric]


def test_no_scale_changes_the_images_of_another_study() -> None:
    plan = make_plan(ROOT, read_config(ROOT, ["scale=small", "studies=[iagan, ilo]"]))
    datasets = {name: study.images for name, study in plan.studies.items()}
    assert datasets["iagan"]["celebahq"].spec.dataset["name"] == "celebahq"
    assert datasets["ilo"]["faces"].spec.dataset["name"] == "celeba-csgm64"
