"""One image contains NaN: the numbers of other images do not change, and tables report it."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from reprior.cli import main
from reprior.machine.files import load_tensors, save_tensors
from tests.workflow.conftest import GENERATOR, make_project

pytestmark = pytest.mark.slow

BAD, GOOD = 1, (0, 2)
IDS = ["a", "b", "c"]
GENERATOR_SPEC = {**GENERATOR, "weights": "tiny.safetensors"}
CASE = {"study": "mine", "case": "sr", "operator": {"name": "bicubic", "scale": 4}, "noise": 0.1}
METHODS: dict[str, dict[str, Any]] = {
    "csgm": {"name": "csgm", "steps": 6, "restarts": 2},
    "iagan": {"name": "iagan", "steps": 4},
    "back-projection": {"name": "back-projection"},
    "bicubic": {"name": "bicubic"},
    "naive": {"name": "naive"},
    "dip": {"name": "dip", "steps": 4, "channels": 8, "input_depth": 4, "scales": 2},
    "gan": {"name": "csgm", "steps": 6, "lr": 0.01},
    "dd": {"name": "deep-decoder", "steps": 6, "channels": 3},
    "hybrid": {"name": "hybrid", "steps": 4, "channels": 3},
}
STARTS = {
    "iagan": {"start": ("csgm", None)},
    "back-projection": {"start": ("csgm", None)},
    "hybrid": {"gan": ("gan", 2), "decoder": ("dd", 2)},
}
MARKS = {"gan": [2], "dd": [2]}
METRICS = [{"name": "mse"}, {"name": "psnr"}]


def compute(where: str) -> None:
    """Observe the images in this folder, reconstruct them with every method, evaluate, make a table: with the CLI."""
    observation = f"{where}/y.safetensors"
    main(["observe", f"{where}/x.safetensors", "--case", json.dumps(CASE), "--out", observation])
    if where == "nan in y":
        tensors, meta = load_tensors(observation)
        save_tensors(observation, {**tensors, "y": spoilt(tensors["y"])}, meta)
    for label, method in METHODS.items():
        out = f"{where}/sr/{label}/all.safetensors"
        asked = ["--label", label, "--method", json.dumps(method), "--device", "cpu", "--out", out]
        given = ["--generator", json.dumps(GENERATOR_SPEC)] if label in ("csgm", "iagan", "gan", "hybrid") else []
        starts = {
            need: {"file": f"{where}/sr/{method}/all.safetensors", "step": step}
            for need, (method, step) in STARTS.get(label, {}).items()
        }
        begun = ["--starts", json.dumps(starts), "--marks", json.dumps(MARKS.get(label, []))]
        main(["reconstruct", observation, *asked, *given, *begun])
        images = ["--images", f"{where}/x.safetensors", "--metrics", json.dumps(METRICS)]
        main(["evaluate", out, *images, "--out", f"{where}/sr/{label}/all.csv"])
    main(["render", json.dumps(table(where)), "--reported", "none.csv", "--out", f"{where}/table"])


def table(folder: str) -> dict[str, Any]:
    """The spec of a table of every method."""
    methods = {label: {"plugin": spec["name"], "settings": {}, "label": label} for label, spec in METHODS.items()}
    case = {"label": "SR", "gap": None, "batches": ["all"], "count": 3, "images": [], "methods": methods}
    shown = {"title": "All", "cases": ["sr"], "methods": list(METHODS), "metrics": ["psnr"]}
    scale = {"scale": "tiny", "scale_title": "Tiny", "comparable": True, "note": ""}
    study = {"study": "mine", "study_title": "Mine", "folder": folder, "metric_gaps": {}}
    what = {"artifact": "table", "kind": "table", "settings": shown, "methods": methods, "cases": {"sr": case}}
    return scale | study | what


def spoilt(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with one NaN in one row."""
    tensor = tensor.clone()
    tensor[BAD].view(-1)[5] = torch.nan
    return tensor


@pytest.fixture(scope="module")
def computed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results for the same three images: unchanged, with a NaN in one image, and with a NaN in one observation."""
    folder = tmp_path_factory.mktemp("nan")
    make_project(root, folder)  # for its weights
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for where in ("whole", "nan in x", "nan in y"):
            given = spoilt(images) if where == "nan in x" else images
            save_tensors(Path(where) / "x.safetensors", {"images": given}, {"ids": IDS})
            compute(where)
    return folder


@pytest.fixture(params=["nan in x", "nan in y"])
def spoilt_folder(computed: Path, request: pytest.FixtureRequest) -> Path:
    return computed / str(request.param)


def numbers(folder: Path, method: str) -> dict[tuple[str, str], str]:
    with (folder / f"sr/{method}/all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["image"], row["metric"]): row["value"] for row in rows if row["metric"] in ("mse", "psnr")}


@pytest.mark.parametrize("method", METHODS)
def test_the_other_images_are_the_same_to_the_last_bit(computed: Path, spoilt_folder: Path, method: str) -> None:
    whole, _ = load_tensors(computed / f"whole/sr/{method}/all.safetensors")
    found, _ = load_tensors(spoilt_folder / f"sr/{method}/all.safetensors")
    assert whole.keys() == found.keys()
    for name in whole:
        assert torch.equal(whole[name][list(GOOD)], found[name][list(GOOD)]), name
    before, after = numbers(computed / "whole", method), numbers(spoilt_folder, method)
    others = {key for key in before if key[0] != IDS[BAD]}
    assert len(others) == 4
    assert {key: after[key] for key in others} == {key: before[key] for key in others}
    assert all(math.isfinite(float(after[key])) for key in others)


@pytest.mark.parametrize("method", METHODS)
def test_the_image_is_said_to_have_diverged(spoilt_folder: Path, method: str) -> None:
    _, meta = load_tensors(spoilt_folder / f"sr/{method}/all.safetensors")
    assert meta["status"] == ["ok", "diverged", "ok"]
    assert json.loads((spoilt_folder / f"sr/{method}/all.json").read_text())["status"] == meta["status"]


@pytest.mark.parametrize("method", METHODS)
def test_a_table_says_so_beside_an_average_of_all(spoilt_folder: Path, method: str) -> None:
    with (spoilt_folder / "table.csv").open(newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if (row["method"], row["metric"]) == (method, "psnr"))
    assert (row["images"], row["remark"]) == ("3", "1 of 3 images diverged")
    values = [float(value) for (_, metric), value in numbers(spoilt_folder, method).items() if metric == "psnr"]
    assert len(values) == 3
    assert math.isnan(float(row["ours"])) == any(map(math.isnan, values)), "a NaN is not left out"


def test_every_format_of_the_table_says_so(computed: Path, spoilt_folder: Path) -> None:
    for suffix in (".md", ".tex", ".json"):
        assert "1 of 3 images diverged" in (spoilt_folder / f"table{suffix}").read_text()
        assert "diverged" not in (computed / f"whole/table{suffix}").read_text()
