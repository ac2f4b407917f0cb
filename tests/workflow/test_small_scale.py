"""Real data as a user gets it: through Snakemake, but from a folder instead of the network."""

from __future__ import annotations

import csv
from pathlib import Path

from reprior.datasets.birds_glowip64 import SOURCES as BIRDS

DIGITS = {"classifiers/mnist.pth", "mnist/train-images-idx3-ubyte.gz", "npgd/mnisttest.zip"}
FACES = {"celeba/csgm_celebAtest.zip", "lpips/squeezenet1_1.pth", "classifiers/cifar_small_36px.pth"}
SMALL = {"began/netG_200000.pth", *FACES, *BIRDS, *DIGITS}


def places(tmp_path: Path) -> list[str]:
    return ["--nolock", "--config", "offline=true", f"data={tmp_path}/data", f"results={tmp_path}/results"]


def test_acquire_fetches_what_the_studies_need_and_nothing_else(house, shared_data: Path, tmp_path: Path) -> None:
    house.snakemake("acquire", *places(tmp_path), "scale=small", f"mirrors=[{shared_data}]")
    raw = tmp_path / "data/raw"
    found = [path for path in raw.rglob("*") if path.is_file() and path.parent.name != ".provenance"]
    assert {path.relative_to(raw).as_posix() for path in found} == SMALL
    assert sum(path.stat().st_size for path in found) < 25e6
    assert "Nothing to be done" in house.snakemake("acquire", *places(tmp_path), "scale=small")


def test_the_demo_needs_no_download(house, tmp_path: Path) -> None:
    assert "rule download:" not in house.snakemake("-n", *places(tmp_path), "scale=demo")


def test_without_network_and_mirrors_one_message_says_what_to_place_where(house, tmp_path: Path) -> None:
    output = house.snakemake(
        f"{tmp_path}/data/raw/began/netG_200000.pth", *places(tmp_path), "scale=small", check=False
    )
    assert "6a9b0f4d87bac9450505b5aef3f6f29ff50968dd258935ff579c8711304b1ecd" in output
    assert f"{tmp_path}/data/raw/began" in output
    assert "Traceback" not in output
    assert not (tmp_path / "data/raw/began/netG_200000.pth").exists()


def test_published_weights_are_converted(house, shared_data: Path, tmp_path: Path) -> None:
    from reprior.generators.base import load_generator

    weights = tmp_path / "data/weights/began-celeba-64.safetensors"
    house.snakemake(str(weights), *places(tmp_path), "scale=small", f"mirrors=[{shared_data}]")
    spec = {"name": "began", "size": 64, "channels": 64, "output": "tanh"}
    assert sum(tensor.numel() for tensor in load_generator(spec, weights).parameters()) == 563_395


def test_a_real_face_goes_from_download_to_numbers(house, shared_data: Path, tmp_path: Path) -> None:
    numbers = tmp_path / "results/small/iagan/celeba-sr-x4/bicubic/0000-0007.csv"
    house.snakemake(str(numbers), *places(tmp_path), "scale=small", f"mirrors=[{shared_data}]")
    with numbers.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows} == {str(number) for number in range(182638, 182646)}
    assert all(20 < float(row["value"]) < 30 for row in rows if row["metric"] == "psnr")
    assert all(0.05 < float(row["value"]) < 0.6 for row in rows if row["metric"] == "lpips-squeeze")
