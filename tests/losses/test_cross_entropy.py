"""The classifier's loss, against the classifier and the average written out, and on the published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.losses.cross_entropy import SOURCES, CrossEntropy
from reprior.networks.robust import classifier, layers, scores
from reprior.optimise.loop import Variables, minimise
from reprior.planning.plugins import sources

FILES = {"cifar": "cifar_small_36px.pth", "mnist": "mnist.pth"}
SHAPES = {"cifar": (3, 64, 64), "mnist": (1, 56, 56)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both classifiers with random weights, in the layouts of the published files."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "classifiers").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cifar, other, mnist = layers("cifar"), layers("cifar"), layers("mnist")
    cascade = {"state_dict": [cifar.state_dict(), other.state_dict()], "epoch": 1}
    torch.save(cascade, folder / "classifiers" / FILES["cifar"])
    torch.save(mnist.state_dict(), folder / "classifiers" / FILES["mnist"])
    return folder


def pictures(net: str, count: int = 3) -> Tensor:
    return torch.rand(count, *SHAPES[net], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("net", FILES)
def test_it_is_the_cross_entropy_of_averaged_and_normalised_images(net: Any, raw: Path) -> None:
    x = pictures(net).requires_grad_()
    found = CrossEntropy(x.new_zeros(3, 5), raw, label=6, net=net)(x, x)
    side = SHAPES[net][1] // 2
    small = x.unflatten(2, (side, 2)).unflatten(4, (side, 2)).mean((3, 5))
    if net == "cifar":
        small = (small - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / 0.225
    p = classifier(net, raw / "classifiers" / FILES[net])(small).softmax(1)
    torch.testing.assert_close(found, -p[:, 6].log())
    (gradient,) = torch.autograd.grad(found[0], x)
    assert gradient[0].abs().sum() > 0 == gradient[1:].abs().sum()


def test_the_classifier_of_imagenet_is_torchvision_s_with_its_normalisation(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = resnet50().eval()
    state = network.state_dict()
    held = {f"module.{part}.{name}": state[name] for part in ("model", "attacker.model") for name in state}
    held["module.normalizer.new_mean"] = torch.zeros(3, 1, 1)
    (tmp_path / "classifiers").mkdir()
    torch.save({"model": held, "epoch": 1, "schedule": None}, tmp_path / SOURCES["net"]["imagenet"][0])
    x = pictures("cifar", 1)
    mean, deviation = (torch.tensor(m)[:, None, None] for m in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        found = scores(x, "imagenet", tmp_path / SOURCES["net"]["imagenet"][0])
        torch.testing.assert_close(found, network((x - mean) / deviation))
        loss = CrossEntropy(x, tmp_path, label=999, net="imagenet")
        big = functional.interpolate(x, 512)  # averages to the side of 256
        expected = network((functional.interpolate(x, 256) - mean) / deviation).log_softmax(1)
        torch.testing.assert_close(loss(big, big), -expected[:, 999])


def test_a_label_may_be_a_word(raw: Path) -> None:
    x = pictures("cifar")
    by_word, by_number = (CrossEntropy(x, raw, label=label)(x, x) for label in ("frog", 6))
    assert torch.equal(by_word, by_number)


def test_the_plan_downloads_the_classifier_that_a_case_uses() -> None:
    for net, names in SOURCES["net"].items():
        assert sources("loss", {"name": "cross-entropy", "label": 6, "net": net}) == names


def test_a_label_or_an_image_that_the_classifier_does_not_know_is_told(raw: Path) -> None:
    y = torch.zeros(3, 5)
    with pytest.raises(UserError, match="label 10: the classifier of cifar knows 0 to 9"):
        CrossEntropy(y, raw, label=10)
    with pytest.raises(UserError, match="label coral: the classifier of cifar knows 0 to 9, airplane, .*, frog, "):
        CrossEntropy(y, raw, label="coral")
    with pytest.raises(UserError, match="label 1000: the classifier of imagenet knows 0 to 999"):
        CrossEntropy(y, raw, label=1000, net="imagenet")
    with pytest.raises(UserError, match="cifar is for images of 3 channels, these have 1"):
        CrossEntropy(y, raw, label=6)(pictures("mnist"), y)
    with pytest.raises(UserError, match=r"cifar_small_36px\.pth: no such file"):
        CrossEntropy(y, raw / "elsewhere", label=6)(pictures("cifar"), y)


def test_another_file_is_not_taken_for_the_classifier(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "classifiers").mkdir()
    (tmp_path / "classifiers" / FILES["cifar"]).write_bytes((raw / "classifiers" / FILES["mnist"]).read_bytes())
    with pytest.raises(UserError, match="not the CIFAR classifier of convex_adversarial"):
        CrossEntropy(torch.zeros(3, 5), tmp_path, label=6)(pictures("cifar"), torch.zeros(3, 5))
    with pytest.raises(UserError, match="not the IMAGENET classifier of robust-models-transfer") as error:
        scores(pictures("cifar"), "imagenet", raw / "classifiers" / FILES["mnist"])
    assert len(str(error.value)) < 500  # it does not list all of its 320 tensors


def test_the_published_classifier_sees_a_frog_in_an_image_made_to_be_one(shared_data: Path) -> None:
    loss = CrossEntropy(torch.zeros(2, 1), shared_data, label=6)

    def f(variables: Variables, step: Tensor) -> tuple[Tensor, Variables]:
        x = variables["x"].sigmoid()
        return loss(x, x), {"x": x}

    start = {"x": torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.1}
    found = minimise(f, start, steps=60, lr=0.1)
    assert (found.trace[:, 0] > 1).all() and (found.loss < 0.2).all()
    small = functional.interpolate(found.kept["x"], 32, mode="area")
    seen = classifier("cifar", shared_data / "classifiers" / FILES["cifar"])(
        (small - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / 0.225
    )
    assert seen.argmax(1).tolist() == [6, 6]
