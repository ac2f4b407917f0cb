"""LPIPS compared with golden values of real weights, and what it refuses."""

from __future__ import annotations

import io
import subprocess
import sys
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


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_equals_the_package_for_any_weights(net: str, tmp_path: Path) -> None:
    import torch
    import torchvision
    from lpips import LPIPS

    from reprior.metrics.lpips import SOURCES

    with torch.random.fork_rng():
        torch.manual_seed(0)
        package = LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False).eval()
        x, x0 = torch.rand(2, 1, 3, 96, 80)
    whole = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}[net]
    state = getattr(torchvision.models, whole)().state_dict()
    ours = {f"features.{key.partition('.')[2]}": value for key, value in package.net.state_dict().items()}
    assert {key for key in state if key.startswith("features.")} >= set(ours)
    path = tmp_path / SOURCES["net"][net][0]
    path.parent.mkdir()
    torch.save(ours, path)
    with torch.no_grad():
        expected = package(x * 2 - 1, x0 * 2 - 1).item()
    assert lpips(x.numpy(), x0.numpy(), tmp_path, net=net) == pytest.approx([expected], rel=1e-5)


def test_the_package_is_not_imported(shared_data: Path, tmp_path: Path) -> None:
    raw = with_backbone(tmp_path, (shared_data / "lpips_squeeze/squeezenet1_1_features.pth").read_bytes())
    code = (
        "import sys, pathlib, numpy as np\n"
        "from reprior.metrics.lpips import lpips\n"
        "x = np.zeros((1, 3, 64, 64), np.float32)\n"
        f"lpips(x, x, pathlib.Path({str(raw)!r}), net='squeeze')\n"
        "print({'lpips', 'torchvision', 'torch._dynamo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
