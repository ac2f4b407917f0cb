"""Which of the choices that the IAGAN paper leaves open explain its rows without a generator: Bicubic and Blurred.

    python benchmarks/calibrate.py --raw data/raw [--celebahq FOLDER] [--authors FOLDER]

It prints the tables of docs/calibration.md. It reads `celeba/celeba_subset.tar` and `celeba/csgm_celebAtest.zip` (1,064
test images of CelebA) from the folder of downloads, and CelebA-HQ from a folder of 1024 x 1024 pictures. `--authors` is
a folder with imgHQ00097.jpg and the images that the authors published with it. These show the border of their operator.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cells import NOISE, SET, Errors, blur_estimates, decibel, down, errors, joint, spread, sr_estimates, upsampling
from reprior.datasets import load_dataset
from reprior.datasets.aligned import AlignedFaces
from reprior.datasets.photographs import pictures, square
from reprior.metrics.lpips import SOURCES as LPIPS
from reprior.metrics.lpips import lpips

REPORTED = Path(__file__).parents[1] / "studies" / "iagan" / "reported.csv"
CHUNK = 64

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """The five cells of a data set."""

    name: str
    scales: tuple[int, int]

    @property
    def sr(self) -> list[str]:
        """The four cells of super-resolution."""
        return [f"x{scale}{noisy}" for noisy in ("", " noisy") for scale in self.scales]

    @property
    def cells(self) -> list[str]:
        """All five cells."""
        return [*self.sr, "blurred"]

    def paper(self, metric: str = "psnr") -> Errors:
        """What the paper reports."""
        with REPORTED.open(newline="", encoding="utf-8") as file:
            values = {(row["case"], row["method"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
        found = {cell: values[f"{self.name}-sr-{cell.replace(' ', '-')}", "bicubic", metric] for cell in self.sr}
        return {**found, "blurred": values[f"{self.name}-deblur", "blurred", metric]}


CELEBA, CELEBAHQ = Case("celeba", (4, 8)), Case("celebahq", (8, 16))
CROPS = {  # left, top, width, height; filter
    "128 at (50, 25), carpedm20": (25, 50, 128, 128, "nearest"),
    "128 at (51, 26), generator-surgery": (26, 51, 128, 128, "nearest"),
    "128 at (57, 25), tkarras": (25, 57, 128, 128, "nearest"),
    "128 at (45, 25), the centre": (25, 45, 128, 128, "nearest"),
    "108 centre, bilinear": (35, 55, 108, 108, "bilinear"),
    "108 centre, bicubic": (35, 55, 108, 108, "bicubic"),
    "116 at (68, 32), bilinear": (32, 68, 116, 116, "bilinear"),
    "116 at (68, 32), Lanczos": (32, 68, 116, 116, "lanczos"),
    "140 centre, bilinear": (19, 39, 140, 140, "bilinear"),
    "134 centre, bicubic": (22, 42, 134, 134, "bicubic"),
    "140 centre, bicubic": (19, 39, 140, 140, "bicubic"),
    "148 centre, bicubic": (15, 35, 148, 148, "bicubic"),
    "160 centre, bilinear": (9, 29, 160, 160, "bilinear"),
    "160 centre, bicubic": (9, 29, 160, 160, "bicubic"),
    "178 centre, bilinear": (0, 20, 178, 178, "bilinear"),
    "178 centre, bicubic": (0, 20, 178, 178, "bicubic"),
    "178 x 218 squeezed, bilinear": (0, 0, 178, 218, "bilinear"),
}
USED = "128 at (51, 26), generator-surgery"
SR: dict[str, Settings] = {
    "reflected border": {},
    "replicated border": {"border": "replicate"},
    "grey border (released code)": {"border": "grey"},
    "black border": {"border": "black"},
    "kernel renormalised at the border (Pillow)": {"border": "renormalised"},
    "kernel renormalised, up with a = -1/2 (Pillow)": {"border": "renormalised", "up": "pillow"},
    "reflected, not clipped": {"clip": False},
    "grey, not clipped": {"border": "grey", "clip": False},
    "reflected, noise 5/255": {"noise": NOISE / 2},
    "reflected, noise 11/255": {"noise": 1.1 * NOISE},
}
BLUR: dict[str, Settings] = {
    f"{border}, {'noisy' if noise else 'no noise'}": {"border": border, "noise": noise}
    for noise in (NOISE, 0.0)
    for border in ("reflect", "replicate", "cropped", "circular", "grey", "black")
}
BLUR["reflect, noise 11/255"] = {"noise": 1.1 * NOISE}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="the folder of downloads")
    parser.add_argument("--celebahq", type=Path, help="a folder of CelebA-HQ images, 1024 x 1024")
    parser.add_argument("--authors", type=Path, help="a folder with the images that the authors published")
    options = parser.parse_args()
    torch.set_num_threads(1)
    celeba_tables(options.raw)
    if options.celebahq:
        celebahq_tables(options.celebahq)
    if options.authors:
        border_of_the_authors(options.authors)


def celeba_tables(raw: Path) -> None:
    """CelebA: each crop, then the other choices at one of them."""
    photographs = faces(raw)
    crops = {name: everything(cut(photographs, name), CELEBA) for name in CROPS}
    table("CelebA by crop", CELEBA, CELEBA.cells, crops)
    circular = {
        name: {**crops[name], **errors(cut(photographs, name), blur_estimates, ["blurred"], border="circular")}
        for name in CROPS
    }
    table("CelebA by crop, blurred in a circle", CELEBA, ["x4", "x8", "blurred"], circular)
    images = cut(photographs, USED)
    sr = {name: errors(images, sr_estimates, CELEBA.sr, scales=CELEBA.scales, **how) for name, how in SR.items()}
    table("CelebA, super-resolution", CELEBA, CELEBA.sr, sr)
    blur = {name: errors(images, blur_estimates, ["blurred"], **how) for name, how in BLUR.items()}
    table("CelebA, blurred", CELEBA, ["blurred"], blur)
    first = {cell: values[:64] for cell, values in crops[USED].items()}
    averages(CELEBA, {"all 1,064": crops[USED], "the first 64": first})
    gains(CELEBA, {name: sr[name] for name in ("reflected border", "reflected, not clipped")})
    if (raw / LPIPS["net"]["squeeze"][0]).is_file():
        perceptual(CELEBA, images[:1], raw)


def celebahq_tables(folder: Path) -> None:
    """CelebA-HQ: the choices that matter there."""
    dataset = load_dataset({"name": "folder", "path": str(folder), "size": 1024, "fit": "exact"}, folder)
    ids = [name for name in dataset.names if "_" not in name]  # without the authors' outputs
    images = [torch.from_numpy(dataset.load([name])) for name in ids]
    sr = {name: errors(images, sr_estimates, CELEBAHQ.sr, scales=CELEBAHQ.scales, **how) for name, how in SR.items()}
    table(f"CelebA-HQ, {len(ids)} images, super-resolution", CELEBAHQ, CELEBAHQ.sr, sr)
    blur = {name: errors(images, blur_estimates, ["blurred"], **how) for name, how in BLUR.items()}
    table(f"CelebA-HQ, {len(ids)} images, blurred", CELEBAHQ, ["blurred"], blur)
    both = {
        "noise 10/255, blur reflected": sr["reflected border"] | blur["reflect, noisy"],
        "noise 10/255, blur circular": sr["reflected border"] | blur["circular, noisy"],
        "noise 11/255, blur reflected": sr["reflected, noise 11/255"] | blur["reflect, noise 11/255"],
    }
    table("CelebA-HQ, all cells", CELEBAHQ, CELEBAHQ.cells, both)
    averages(CELEBAHQ, {f"all {len(ids)}": both["noise 10/255, blur reflected"]})
    gains(CELEBAHQ, {name: sr[name] for name in ("reflected border", "reflected, not clipped")})


def faces(raw: Path) -> list[Image.Image]:
    """The 1,064 photographs of 178 x 218 pixels. The 64 of CSGM come first."""
    found = []
    for name in ("celeba-csgm64", "celeba-subset"):
        dataset = load_dataset({"name": name}, raw)
        assert isinstance(dataset, AlignedFaces)
        found.extend(pictures(dataset.archive, [f"{dataset.folder}/{name}.jpg" for name in dataset.names]))
    return found


def cut(photographs: Sequence[Image.Image], crop: str) -> list[Tensor]:
    """The crop of each photograph, resized to 128 x 128, in chunks [64, 3, 128, 128]."""
    left, top, width, height, resize = CROPS[crop]
    box = (left, top, left + width, top + height)
    images = np.stack([square(picture, box, 128, resize) for picture in photographs])
    return list(torch.from_numpy(images).split(CHUNK))


def everything(images: Sequence[Tensor], case: Case) -> Errors:
    """The errors in all five cells, with the default choices."""
    sr = errors(images, sr_estimates, case.sr, scales=case.scales)
    return sr | errors(images, blur_estimates, ["blurred"])


def percent(share: float) -> str:
    """A share as text."""
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"


def table(title: str, case: Case, cells: Sequence[str], found: Mapping[str, Errors]) -> None:
    """Print PSNRs with the half width of the 95% interval over sets of 100 images. Bold: the paper's value is inside.

    `together` leaves out noisy super-resolution: given the cell without noise, it depends only on the noise.
    """
    paper = np.array([case.paper()[cell] for cell in cells])
    images = [column for column, cell in enumerate(cells) if "noisy" not in cell]
    rows = {"paper": [*(f"{value:.2f}" for value in paper), ""]}
    for name, by_cell in found.items():
        values = np.stack([by_cell[cell] for cell in cells], 1)
        draws = spread(values)
        low, high = np.percentile(draws, [2.5, 97.5], 0)
        ours = zip(decibel(values.mean(0)), (high - low) / 2, (low <= paper) & (paper <= high), strict=True)
        shown = [f"**{value:.2f}** ± {half:.2f}" if hit else f"{value:.2f} ± {half:.2f}" for value, half, hit in ours]
        rows[name] = [*shown, percent(joint(draws[:, images], paper[images]))]
    show(title, [*cells, "together"], rows)


def averages(case: Case, found: Mapping[str, Errors]) -> None:
    """Print both ways to average. `together` is for super-resolution without noise."""
    clean = [f"x{scale}" for scale in case.scales]
    paper = case.paper()
    rows = {"paper": [*(f"{value:.2f}" for value in paper.values()), ""]}
    for name, by_cell in found.items():
        values = np.stack([by_cell[cell] for cell in clean], 1)
        for how, first in (("PSNR of the mean error", False), ("mean of PSNRs", True)):
            means = [decibel(by_cell[cell]).mean() if first else decibel(by_cell[cell].mean()) for cell in case.cells]
            share = joint(spread(values, first), np.array([paper[cell] for cell in clean]))
            rows[f"{name}: {how}"] = [*(f"{value:.2f}" for value in means), percent(share)]
    show(f"{case.name}: averaging", [*case.cells, "together"], rows)


def gains(case: Case, found: Mapping[str, Errors]) -> None:
    """Print how much of the noise's power reaches the estimate. The images hardly matter here."""
    clean = [f"x{scale}" for scale in case.scales]
    paper = {cell: 10 ** (-value / 10) for cell, value in case.paper().items()}
    rows = {"paper": [f"{(paper[f'{cell} noisy'] - paper[cell]) / NOISE**2:.3f}" for cell in clean]}
    for name, by_cell in found.items():
        added = [(by_cell[f"{cell} noisy"] - by_cell[cell]) / NOISE**2 for cell in clean]
        rows[name] = [f"{value.mean():.3f} ± {1.96 * value.std() / SET**0.5:.3f}" for value in added]
    show(f"{case.name}: what noise adds to the mean squared error, in units of (10/255)^2", clean, rows)


def perceptual(case: Case, images: Sequence[Tensor], raw: Path) -> None:
    """Print LPIPS with SqueezeNet. Only a side note: the paper does not say which network it used."""
    (chunk,), rng = images, torch.Generator().manual_seed(0)
    pairs = [*sr_estimates(chunk, rng, case.scales), *blur_estimates(chunk, rng)]
    ours = [lpips(estimate.clamp(0, 1).numpy(), truth.numpy(), raw, net="squeeze").mean() for estimate, truth in pairs]
    paper = [f"{value:.3f}" for value in case.paper("lpips").values()]
    rows = {"paper, network unknown": paper, f"SqueezeNet, {len(chunk)} images": [f"{value:.3f}" for value in ours]}
    show(f"{case.name}: LPIPS", case.cells, rows)


def border_of_the_authors(folder: Path) -> None:
    """Print how far the authors' back-projections are from x + up(A truth - A x), for each border of A."""
    truth, *found = (picture(folder / f"imgHQ00097{end}") for end in (".jpg", "_CSGM.png", "_IA.png"))
    theirs = [picture(folder / f"imgHQ00097_{name}_BP.png") for name in ("CSGM", "IA")]
    U = upsampling(64, 16, "torch")
    rows = {}
    for border in ("grey", "reflect", "replicate", "renormalised"):
        M = U @ down(1024, 16, border)
        ours = [(x + M @ (truth - x) @ M.T).clamp(0, 1) for x in found]
        pairs = zip(ours, theirs, strict=True)
        rows[border] = [f"{255 * float((a - b).square().mean()) ** 0.5:.2f}" for a, b in pairs]
    show("imgHQ00097: our back-projection against the authors', root mean square, grey levels", ["CSGM", "IAGAN"], rows)


def picture(path: Path) -> Tensor:
    """[1, 3, H, W] in [0, 1]"""
    with Image.open(path) as opened:
        return torch.from_numpy(np.array(opened.convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255)


def show(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a table."""
    lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    print(
        f"\n### {title}\n\n| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}", *lines, sep="\n", flush=True
    )


if __name__ == "__main__":
    main()
