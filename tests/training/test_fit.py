from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reprior.generators.began import BEGAN
from reprior.training.curves import _thinned, save_curves
from reprior.training.fit import decibels, fit_latents
from reprior.training.sheet import save_sheet
from reprior.training.task import initialise


def test_latents_of_generated_images_are_found_again() -> None:
    generator = BEGAN(size=64, channels=4, latent=3)
    initialise(generator, torch.Generator().manual_seed(0))
    z = torch.stack([generator.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(2)])
    images = generator.image(z).detach()
    found, errors = fit_latents(generator, images, steps=100, together=1)
    torch.testing.assert_close(found, z, rtol=0, atol=0.05)
    torch.testing.assert_close((generator.image(found) - images).square().flatten(1).mean(1), errors)
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_an_error_of_a_hundredth_is_20_decibels() -> None:
    assert decibels(0.01) == pytest.approx(20)


def test_sheet_places_images_row_by_row_beside_their_labels(tmp_path: Path) -> None:
    from PIL import Image

    levels = torch.tensor([0.0, 0.2, 0.4, 2.0]).reshape(4, 1, 1, 1).expand(4, 3, 25, 7)
    save_sheet(tmp_path / "sheet.png", levels, columns=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (50, 14, 3)
    assert [sheet[y, x, 0] for y in (0, 49) for x in (0, 13)] == [0, 51, 102, 255]
    save_sheet(tmp_path / "labelled.png", levels, columns=2, labels=["first", "second"])
    labelled = np.asarray(Image.open(tmp_path / "labelled.png"))
    np.testing.assert_array_equal(labelled[:, -14:], sheet)
    assert all(half[:, :-14].min() < 128 < half[:, :-14].mean() for half in (labelled[:25], labelled[25:]))


def test_curves_are_thinned_to_means_of_equally_many_steps() -> None:
    steps, means = _thinned(np.arange(2000.0).reshape(1000, 2))
    assert len(steps) <= 400
    assert steps[0] == 3
    assert steps[-1] == 1000
    assert means[0].tolist() == [2, 3]
    assert means[-1].tolist() == [1998, 1999]


def test_a_figure_shows_every_number_and_the_fits(tmp_path: Path) -> None:
    from PIL import Image

    numbers = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    heights = []
    for columns in (1, 2):
        path = tmp_path / f"{columns}.png"
        save_curves(path, ["loss", "k"][:columns], numbers[:, :columns], {10: 12.0, 20: 14.0, 30: 13.0}, 20)
        picture = np.asarray(Image.open(path).convert("L"))
        heights.append(len(picture))
        assert (picture < 200).mean() > 0.01
    assert heights[1] > 1.3 * heights[0]
