"""A small version of the IAGAN paper's comparison, on real faces with a real generator, from several starts.

    python benchmarks/began64_published.py --raw data/raw

It runs super-resolution x4 without noise on the CelebA faces 182638 to 182645 at 64 pixels, with the public BEGAN-64,
400 steps of CSGM and 200 of IAGAN. `AUTHORS` are the results of the authors' own code, which was run once on the first
three faces, from one start. It prints the mean PSNR of each start over these three faces and over all faces. It reads
`celeba/csgm_celebAtest.zip` and `began/netG_200000.pth`; `snakemake acquire --config scale=small` fetches both. Four
starts take ten minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reprior.acquire.checkpoints import read_checkpoint
from reprior.datasets import load_dataset
from reprior.generators.base import Generator
from reprior.generators.began import BEGAN, PUBLISHED
from reprior.methods.back_projection import back_projection
from reprior.methods.base import Problem
from reprior.methods.bicubic import bicubic
from reprior.methods.csgm import csgm
from reprior.methods.iagan import iagan
from reprior.metrics.psnr import psnr
from reprior.operators.bicubic import Bicubic

AUTHORS = {"bicubic": 23.75, "CSGM": 19.42, "CSGM-BP": 23.51, "IAGAN": 24.78, "IAGAN-BP": 24.84}
FACES = {"name": "celeba-csgm64", "crop": "began-box", "size": 64, "resize": "lanczos"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="the folder of downloads")
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = public_began(options.raw)
    faces = load_dataset(FACES, options.raw)
    ids = faces.ids(0, options.images)
    images = torch.from_numpy(faces.load(ids))
    print(f"| start | {' | '.join(AUTHORS)} |\n|---|{'---|' * len(AUTHORS)}")
    print(f"| the authors' code, 3 images, one start | {' | '.join(map(str, AUTHORS.values()))} |")
    found = np.stack([one_start(start, images, ids, generator) for start in range(options.starts)])
    show("average, 3 images", found[:, :, :3].mean((0, 2)))
    show(f"average, {len(ids)} images", found.mean((0, 2)))
    print(f"\nStandard deviation between starts, {len(ids)} images: {found.mean(2).std(0, ddof=1).round(2).tolist()}")


def public_began(raw: Path) -> Generator:
    """The published generator, converted."""
    about = PUBLISHED["began-celeba-64"]
    generator = BEGAN(**about["settings"])  # type: ignore[arg-type]
    state = read_checkpoint(raw / str(about["source"]))
    generator.load_state_dict(BEGAN.converted(state, str(about["layout"])))
    return generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def one_start(start: int, images: Tensor, ids: list[str], generator: Generator) -> np.ndarray:
    """PSNRs [methods, images]. The start is part of the seed of every draw."""
    operator = Bicubic(generator.image_shape, torch.Generator(), scale=4, padding="zero")
    problem = Problem(operator.A(images), operator, f"start-{start}", "sr-x4", tuple(ids))
    by_csgm = csgm(problem, generator, steps=400, lr=0.1)
    by_iagan = iagan(problem, generator, by_csgm, steps=200, lr_z=1e-4, lr_weights=1e-4)
    results = [
        bicubic(problem),
        by_csgm,
        back_projection(problem, by_csgm, dagger="bicubic"),
        by_iagan,
        back_projection(problem, by_iagan, dagger="bicubic"),
    ]
    values = np.stack([psnr(each.images.clamp(0, 1).numpy(), images.numpy()) for each in results])
    show(f"{start}, 3 images", values[:, :3].mean(1))
    show(f"{start}, {len(ids)} images", values.mean(1))
    return values


def show(title: str, values: np.ndarray) -> None:
    """Print one row."""
    print(f"| {title} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)


if __name__ == "__main__":
    main()
