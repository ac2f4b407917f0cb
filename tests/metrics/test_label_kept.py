"""Whether a digit is kept: made-up networks whose answer is known, and the real one."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reprior.errors import UserError
from reprior.metrics.evaluation import evaluate
from reprior.metrics.label_kept import SOURCES, label_kept

SPEC = {"name": "label-kept"}


def digits(*levels: float) -> np.ndarray:
    """Images of one level each, [N, 1, 28, 28]."""
    return np.array(levels, np.float32)[:, None, None, None] * np.ones((1, 1, 28, 28), np.float32)


def placed(raw: Path, state: dict) -> Path:
    """A folder of downloads in which the classifier has these weights."""
    import torch

    (raw / SOURCES[0]).parent.mkdir()
    torch.save(state, raw / SOURCES[0])
    return raw


def thresholds() -> dict:
    """Weights of a network that sees a 3 if the mean level is above 0.5, else a 7."""
    import torch

    shapes = {"0": (16, 1, 4, 4), "2": (32, 16, 4, 4), "5": (100, 1568), "7": (10, 100)}
    state = {f"{key}.weight": torch.zeros(shape) for key, shape in shapes.items()}
    state |= {f"{key}.bias": torch.zeros(shape[0]) for key, shape in shapes.items()}
    state["0.weight"][0, 0, 1, 1] = 1
    state["2.weight"][0, 0, 1, 1] = 1
    state["5.weight"][0, : 7 * 7] = 1 / 49
    state["7.weight"][3, 0] = 1
    state["7.bias"][:] = -1
    state["7.bias"][[3, 7]] = torch.tensor([0.0, 0.5])
    return state


def test_it_is_whether_both_have_the_same_label(tmp_path: Path) -> None:
    raw = placed(tmp_path, thresholds())
    kept = label_kept(digits(0.9, 0.9, 0.1, 0.1), digits(0.6, 0.4, 0.6, 0.4), raw)
    assert kept.dtype == np.float64 and kept.tolist() == [1, 0, 0, 1]


def test_an_estimate_is_clipped_first_and_must_be_finite(tmp_path: Path) -> None:
    raw = placed(tmp_path, thresholds())
    estimate = digits(5.0, 0.2, np.nan)
    estimate[1, 0, 0, :4] = -1e6
    values = evaluate(estimate, digits(1.0, 0.2, 0.2), [SPEC], raw)
    np.testing.assert_array_equal(values["label-kept"], [1, 1, np.nan])


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 32, 32), (2, 3, 64, 64)])
def test_other_images_are_refused_by_the_metric_and_skipped_by_a_study(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.zeros(shape, np.float32)
    with pytest.raises(UserError, match=r"label-kept is for digits of shape \(1, 28, 28\).*remove it from the study"):
        label_kept(images, images, tmp_path)
    values = evaluate(images, images, [{"name": "mse"}, SPEC], tmp_path)
    assert list(values) == ["mse"], "nothing is downloaded or shown for images that are no digits"
    assert set(evaluate(digits(0.5), digits(0.5), [{"name": "mse"}, SPEC], placed(tmp_path, thresholds()))) == {
        "mse",
        "label-kept",
    }


def test_missing_and_wrong_weights_are_told(tmp_path: Path) -> None:
    import torch

    with pytest.raises(UserError, match=r"mnist\.pth: no such file"):
        label_kept(digits(1), digits(1), tmp_path)
    state = thresholds()
    state["7.weight"] = torch.zeros(12, 100)
    with pytest.raises(UserError, match=r"mnist\.pth: not the MNIST classifier .*7\.weight"):
        label_kept(digits(1), digits(1), placed(tmp_path, state))


def test_a_page_instead_of_weights_is_told(tmp_path: Path) -> None:
    (tmp_path / "classifiers").mkdir()
    (tmp_path / SOURCES[0]).write_bytes(b"<html>gone</html>")
    with pytest.raises(UserError, match=r"mnist\.pth: .*web page"):
        label_kept(digits(1), digits(1), tmp_path)


def test_torch_is_imported_only_when_used() -> None:
    code = "import sys, reprior.metrics.label_kept; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_real_classifier_errs_as_often_as_its_authors_say(shared_data: Path) -> None:
    import torch

    from reprior.datasets.mnist import MNIST
    from reprior.networks.robust import labels

    mnist = MNIST(shared_data)
    images = mnist.load(mnist.ids(0, 10_000))
    truth = np.frombuffer(gzip.decompress((shared_data / "mnist/t10k-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    seen = labels(torch.from_numpy(images), shared_data / SOURCES[0]).numpy()
    assert (seen != truth).mean() == pytest.approx(0.018, abs=1e-4)  # Wong and Kolter (2018), table 1: 1.80%


def test_real_digits_are_kept_if_little_is_changed(shared_data: Path) -> None:
    from reprior.datasets.mnist import MNIST

    mnist = MNIST(shared_data)
    truth = mnist.load(mnist.ids(0, 200))
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, truth.shape).astype(np.float32)
    assert label_kept(truth, truth, shared_data).tolist() == [1.0] * 200
    assert label_kept((truth + noise).clip(0, 1), truth, shared_data).mean() > 0.95
    assert label_kept(np.zeros_like(truth), truth, shared_data).mean() < 0.3
    others = np.roll(truth, 1, axis=0)
    kept = label_kept(others, truth, shared_data)
    assert kept.mean() < 0.3
    alone = [label_kept(others[k : k + 1], truth[k : k + 1], shared_data)[0] for k in range(12)]
    assert alone == kept[:12].tolist()
