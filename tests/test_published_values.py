"""The stages give the known values of published images: of the authors' images and of LPIPS's."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reprior.machine.files import save_arrays, write_json
from reprior.stages.evaluate import evaluate
from reprior.stages.observe import observe
from reprior.stages.prepare import prepare
from reprior.stages.reconstruct import reconstruct

PSNR = ({"name": "psnr"},)


def picture(path: Path) -> np.ndarray:
    """[3, H, W] in [0, 1]"""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"), np.float32).transpose(2, 0, 1) / 255


def write_images(path: Path, pictures: Sequence[Path]) -> Path:
    """A batch as `prepare` makes it."""
    save_arrays(path, {"images": np.stack([picture(each) for each in pictures])}, {"ids": [p.stem for p in pictures]})
    return path


def write_estimate(path: Path, pictures: Sequence[Path]) -> Path:
    """A batch as `reconstruct` makes it, from images that were reconstructed elsewhere."""
    meta = {"study": "published", "case": "case", "method": "theirs", "ids": [each.stem for each in pictures]}
    save_arrays(path, {"images": np.stack([picture(each) for each in pictures])}, meta)
    write_json(path.with_suffix(".json"), {"seconds_per_image": 0.0, "peak_memory_mib": 0.0, "numbers": {}})
    return path


def evaluated(estimate: Path, images: Path, metrics: Sequence[dict[str, Any]], raw: Path) -> dict[str, list[float]]:
    """What the evaluate stage writes: {metric: one value per image}."""
    out = estimate.with_suffix(".csv")
    evaluate(estimate, images, metrics, raw, out)
    values: dict[str, list[float]] = {}
    with out.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values.setdefault(row["metric"], []).append(float(row["value"]))
    return values


def bicubic(images: Path, scale: int, folder: Path) -> list[float]:
    """PSNRs of the baseline through observe, reconstruct and evaluate, without noise."""
    case = {"study": "published", "case": "sr", "operator": {"name": "bicubic", "scale": scale}, "noise": 0.0}
    observation, out = folder / f"x{scale}" / "y.safetensors", folder / f"x{scale}" / "bicubic.safetensors"
    observe(images, case, observation)
    reconstruct(observation, {"name": "bicubic"}, out, label="bicubic", device="cpu")
    return evaluated(out, images, PSNR, folder)["psnr"]


def test_psnr_of_the_authors_own_outputs(shared_data: Path, tmp_path: Path) -> None:
    """imgHQ00097, SR x16 with PGGAN: CSGM, CSGM-BP, IAGAN, IAGAN-BP."""
    folder = shared_data / "celebahq1024"
    images = write_images(tmp_path / "images.safetensors", [folder / "imgHQ00097.jpg"] * 4)
    outputs = [folder / f"imgHQ00097_{method}.png" for method in ("CSGM", "CSGM_BP", "IA", "IA_BP")]
    estimate = write_estimate(tmp_path / "estimate.safetensors", outputs)
    psnr = evaluated(estimate, images, PSNR, tmp_path)["psnr"]
    assert psnr == pytest.approx([20.28, 25.90, 26.47, 27.15], abs=0.005)


@pytest.mark.parametrize(("scale", "expected"), [(16, 26.75), (8, 28.33)])
def test_bicubic_baseline_of_imghq00097(shared_data: Path, tmp_path: Path, scale: int, expected: float) -> None:
    images = write_images(tmp_path / "images.safetensors", [shared_data / "celebahq1024" / "imgHQ00097.jpg"])
    assert bicubic(images, scale, tmp_path) == pytest.approx([expected], abs=0.05)


def test_bicubic_baseline_of_three_celeba_faces(shared_data: Path, tmp_path: Path) -> None:
    """The authors' own code gives a mean PSNR of 23.75 dB for 182638 to 182640."""
    faces = {"name": "celeba-csgm64", "crop": "began-box", "size": 64, "resize": "lanczos"}
    selection = {"dataset": faces, "ids": ["182638", "182639", "182640"], "shift": 0}
    images = tmp_path / "images.safetensors"
    prepare(selection, shared_data, images)
    assert np.mean(bicubic(images, 4, tmp_path)) == pytest.approx(23.75, abs=0.05)


def test_lpips_of_the_example_pictures(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "lpips_squeeze"
    weights = tmp_path / "raw" / "lpips" / "squeezenet1_1.pth"
    weights.parent.mkdir(parents=True)
    weights.symlink_to(folder / "squeezenet1_1_features.pth")
    images = write_images(tmp_path / "images.safetensors", [folder / "ex_ref.png"] * 2)
    estimate = write_estimate(tmp_path / "estimate.safetensors", [folder / "ex_p0.png", folder / "ex_p1.png"])
    values = evaluated(estimate, images, [{"name": "lpips", "net": "squeeze"}], tmp_path / "raw")
    assert values["lpips-squeeze"] == pytest.approx([0.711048, 0.147902], abs=2e-6)
