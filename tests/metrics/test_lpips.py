"""LPIPS against the golden values of real weights, and its refusals."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from reprior.errors import UserError
from reprior.metrics.evaluation import evaluate
from reprior.metrics.lpips import lpips


def picture(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None] / 255


def with_backbone(raw: Path, content: bytes) -> Path:
    """A folder of downloads in which SqueezeNet is this file."""
    (raw / "lpips").mkdir()
    (raw / "lpips/squeezenet1_1.pth").write_bytes(content)
    return raw


def saved(state: dict) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def test_golden_values(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "lpips_squeeze"
    raw = with_backbone(tmp_path, (folder / "squeezenet1_1_features.pth").read_bytes())
    spec = {"name": "lpips", "net": "squeeze"}
    truth = np.concatenate([picture(folder / "ex_ref.png")] * 3)
    estimate = np.concatenate([picture(folder / f"ex_{name}.png") for name in ("p0", "p1", "ref")])
    values = evaluate(estimate, truth, [spec], raw)["lpips-squeeze"]
    assert values == pytest.approx([0.711048, 0.147902, 0], abs=2e-6)


IMAGE = np.zeros((1, 3, 64, 64), np.float32)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"alexnet\.pth"):
        lpips(IMAGE, IMAGE, tmp_path)
    with pytest.raises(UserError, match=r"squeezenet1_1\.pth"):
        lpips(IMAGE, IMAGE, tmp_path, net="squeeze")


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    raw = with_backbone(tmp_path, b"<html>quota exceeded</html>")
    with pytest.raises(UserError, match="squeezenet1_1.pth"):
        lpips(IMAGE, IMAGE, raw, net="squeeze")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    import torch

    raw = with_backbone(tmp_path, saved({"features.0.weight": torch.zeros(2, 3, 3, 3)}))
    with pytest.raises(UserError, match="not the backbone of LPIPS-squeeze"):
        lpips(IMAGE, IMAGE, raw, net="squeeze")


def test_nothing_is_drawn_from_the_global_generator(tmp_path: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    raw = with_backbone(tmp_path, saved({}))
    with pytest.raises(UserError):
        lpips(IMAGE, IMAGE, raw, net="squeeze")
    assert torch.equal(torch.random.get_rng_state(), before)
