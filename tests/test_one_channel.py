"""Images of one channel go through every stage, from a folder of pictures to the report."""

from __future__ import annotations

import csv
import json
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reprior.generators.base import build_generator
from reprior.machine.files import load_arrays, save_tensors
from reprior.render.artifact import render
from reprior.render.encode import picture_uri
from reprior.render.pictures import pixels
from reprior.stages.evaluate import evaluate
from reprior.stages.observe import observe
from reprior.stages.prepare import prepare
from reprior.stages.reconstruct import reconstruct

SIDE = 64
GENERATOR = {"name": "dcgan", "channels": 2, "latent": 4, "colours": 1}
METHODS: dict[str, dict[str, Any]] = {
    "bicubic": {"name": "bicubic"},
    "csgm": {"name": "csgm", "steps": 4},
    "iagan": {"name": "iagan", "steps": 3},
    "dip": {"name": "dip", "steps": 3, "scales": 2, "channels": 4, "input_depth": 2},
    "deep-decoder": {"name": "deep-decoder", "steps": 4},
}


def digit(seed: int) -> np.ndarray:
    """White strokes on black, asymmetric: [SIDE, SIDE] bytes."""
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[8:56, 20 + seed : 28 + seed] = 255
    picture[8:16, 20:50] = 180
    return picture


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case, run through the stages prepare, observe, reconstruct and evaluate."""
    folder = tmp_path_factory.mktemp("grey")
    (folder / "pictures").mkdir()
    for seed in range(2):
        Image.fromarray(digit(seed)).save(folder / f"pictures/{seed}.png")
    dataset = {"name": "folder", "path": str(folder / "pictures"), "size": SIDE, "fit": "exact", "channels": 1}
    images = folder / "images/0000-0001.safetensors"
    prepare({"dataset": dataset, "shift": 0, "count": 2, "first": 0}, folder, images)
    case = {"study": "s", "case": "c", "operator": {"name": "bicubic", "scale": 2}, "noise": 0.0}
    observation = folder / "s/c/observation/0000-0001.safetensors"
    observe(images, case, observation)
    weights = folder / "grey.safetensors"
    save_tensors(weights, build_generator(GENERATOR).state_dict())
    for label, method in METHODS.items():
        out = folder / f"s/c/{label}/0000-0001.safetensors"
        needs = method["name"] in ("csgm", "iagan")
        start = {"start": {"file": str(out.parent.with_name("csgm") / out.name), "step": None}}
        reconstruct(
            observation,
            method,
            out,
            label=label,
            generator={**GENERATOR, "weights": str(weights)} if needs else None,
            starts=start if label == "iagan" else None,
        )
        evaluate(out, images, [{"name": "mse"}, {"name": "psnr"}, {"name": "ssim"}], folder, out.with_suffix(".csv"))
    return folder


@pytest.mark.parametrize("label", METHODS)
def test_every_method_makes_images_of_one_channel(made: Path, label: str) -> None:
    arrays, meta = load_arrays(made / f"s/c/{label}/0000-0001.safetensors")
    assert arrays["images"].shape == (2, 1, SIDE, SIDE)
    assert meta["status"] == ["ok", "ok"]


def test_metrics_are_those_of_scikit_image(made: Path) -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    images = load_arrays(made / "s/c/bicubic/0000-0001.safetensors")[0]["images"][:, 0].clip(0, 1)
    truth = np.stack([digit(seed) for seed in range(2)]) / 255.0
    with (made / "s/c/bicubic/0000-0001.csv").open() as file:
        rows = {(row["image"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for image, (x, x0) in enumerate(zip(images.astype(float), truth, strict=True)):
        assert rows[str(image), "psnr"] == pytest.approx(peak_signal_noise_ratio(x0, x, data_range=1), rel=1e-6)
        expected = structural_similarity(x, x0, data_range=1, **window)
        assert rows[str(image), "ssim"] == pytest.approx(expected, rel=1e-6)


def test_a_figure_shows_the_levels_of_grey(made: Path) -> None:
    cells = {label: {"plugin": method["name"], "settings": method} for label, method in METHODS.items()}
    case = {
        "label": "SR x2",
        "dataset": "folder",
        "generator": None,
        "operator": {"name": "bicubic", "scale": 2},
        "noise": 0.0,
        "gap": None,
        "count": 2,
        "batches": ["0000-0001"],
        "images": [str(made / "images/0000-0001.safetensors")],
        "methods": cells,
    }
    spec = {
        "study": "s",
        "study_title": "Digits",
        "artifact": "figure",
        "kind": "grid",
        "scale": "tiny",
        "scale_title": "Tiny",
        "comparable": False,
        "note": "",
        "settings": {"title": "T", "cases": ["c"], "methods": list(METHODS), "pictures": 2},
        "methods": {label: {"label": label} for label in METHODS},
        "cases": {"c": case},
        "metric_gaps": {},
        "folder": str(made / "s"),
    }
    render(spec, made / "reported.csv", made / "figure")
    drawn = np.asarray(Image.open(made / "figure.png").convert("RGB")).astype(int)
    assert (np.ptp(drawn, axis=2) <= 2).mean() > 0.99, "a picture of one channel is grey"
    assert 0.02 < (drawn.mean(2) < 5).mean() < 0.6, "digits are white on black"
    assert json.loads((made / "figure.json").read_text())["artifact"] == "figure"


def test_a_picture_of_one_channel_is_as_it_is() -> None:
    image = (digit(0) / 255.0)[None]
    assert np.array_equal(pixels(image), digit(0))
    assert np.array_equal(pixels(image), pixels(np.repeat(image, 3, 0))[:, :, 1])
    kind, content = picture_uri(image).split(",")
    assert kind == "data:image/webp;base64"
    shown = np.asarray(Image.open(BytesIO(b64decode(content))).convert("RGB")).astype(int)
    assert np.abs(shown - digit(0)[:, :, None]).max() < 40
    assert np.ptp(shown, axis=2).max() <= 2, "grey"


def test_a_real_digit_has_one_channel(shared_data: Path) -> None:
    from reprior.datasets.mnist import MNIST

    digits = MNIST(shared_data)
    assert digits.image_shape == (1, 28, 28)
    assert torch.from_numpy(digits.load(["00000"])).shape == (1, 1, 28, 28)
