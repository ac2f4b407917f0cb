"""LPIPS against the golden values of real weights, and its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reprior.errors import UserError
from reprior.metrics.evaluation import evaluate
from reprior.metrics.lpips import lpips


def picture(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None] / 255


def test_golden_values(shared_data: Path) -> None:
    folder = shared_data / "lpips_squeeze"
    spec = {"name": "lpips", "net": "squeeze", "weights": str(folder / "squeezenet1_1_features.pth")}
    truth = np.concatenate([picture(folder / "ex_ref.png")] * 3)
    estimate = np.concatenate([picture(folder / f"ex_{name}.png") for name in ("p0", "p1", "ref")])
    values = evaluate(estimate, truth, [spec])["lpips-squeeze"]
    assert values == pytest.approx([0.711048, 0.147902, 0], abs=2e-6)


def test_missing_weights_are_named() -> None:
    image = np.zeros((1, 3, 64, 64), np.float32)
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        lpips(image, image, weights="nowhere.pth")
    with pytest.raises(UserError, match="squeezenet1_1-b8a52dc0.pth"):
        lpips(image, image, net="squeeze")


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quota.pth"
    path.write_text("<html>quota exceeded</html>")
    image = np.zeros((1, 3, 64, 64), np.float32)
    with pytest.raises(UserError, match="not a file of weights"):
        lpips(image, image, weights=str(path))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(2, 3, 3, 3)}, path)
    image = np.zeros((1, 3, 64, 64), np.float32)
    with pytest.raises(UserError, match="not the backbone of LPIPS-squeeze"):
        lpips(image, image, net="squeeze", weights=str(path))


def test_nothing_is_drawn_from_the_global_generator(tmp_path: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    path = tmp_path / "empty.pth"
    torch.save({}, path)
    image = np.zeros((1, 3, 64, 64), np.float32)
    with pytest.raises(UserError):
        lpips(image, image, net="squeeze", weights=str(path))
    assert torch.equal(torch.random.get_rng_state(), before)
