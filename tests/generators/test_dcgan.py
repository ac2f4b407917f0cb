from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator, load_generator
from reprior.generators.dcgan import DCGAN
from reprior.machine.files import save_tensors
from reprior.methods.base import Problem, Reconstruction
from reprior.methods.csgm import csgm
from reprior.methods.iagan import iagan
from reprior.operators.bicubic import Bicubic
from reprior.seeds import rng_for

SPEC = {"name": "dcgan", "channels": 2, "latent": 4}
STEPS = 5


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a narrow network that has seen a few batches, so that its statistics are not those of one batch."""
    generator = DCGAN(channels=2, latent=4)
    rng = torch.Generator().manual_seed(0)
    for parameter in generator.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5, generator=rng)
    for _ in range(3):
        generator(torch.randn(8, 4, generator=rng))
    path = tmp_path / "weights.safetensors"
    save_tensors(path, generator.state_dict())
    return path


@pytest.fixture
def generator(weights: Path) -> Generator:
    return load_generator(SPEC, weights, dtype=torch.float64)


@pytest.fixture
def problem() -> Problem:
    operator = Bicubic((3, 64, 64), rng_for("s", "c", "*", "operator"), scale=4).to("cpu", torch.float64)
    truth = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return Problem(operator.A(truth), operator, "s", "c", ("a", "b", "c"))


@pytest.mark.parametrize(("settings", "count"), [({}, 3_576_704), ({"channels": 128, "output_bias": True}, 12_658_435)])
def test_has_the_published_number_of_parameters(settings: dict, count: int) -> None:
    generator = DCGAN(**settings)
    assert sum(parameter.numel() for parameter in generator.parameters()) == count
    assert generator.image(torch.zeros(1, *generator.latent_shape)).shape == (1, *generator.image_shape)


@pytest.mark.parametrize("std", [1.0, 0.1])
def test_latents_are_normal_with_the_spread_that_is_set(std: float) -> None:
    generator = DCGAN(channels=1, latent_std=std)
    z = torch.stack([generator.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(100)])
    assert z.shape == (100, 100)
    assert z.mean().abs() < 0.03 * std
    assert abs(z.std() / std - 1) < 0.03


def test_loads_the_statistics_of_training_and_uses_them(generator: Generator, weights: Path) -> None:
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).double()
    images = generator.image(z)
    assert not torch.allclose(generator.norms[0].running_mean, torch.zeros(16).double())
    torch.testing.assert_close(images[1:2], generator.image(z[1:2]))
    assert not torch.allclose(copy.deepcopy(generator).train().image(z), images)
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_weights_without_statistics_are_refused(weights: Path, tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in DCGAN(channels=2, latent=4).state_dict().items() if "running" not in name}
    save_tensors(tmp_path / "bare.safetensors", state)
    with pytest.raises(UserError, match=r"'norms.0.running_mean' should be \(16,\) but is no such tensor"):
        load_generator(SPEC, tmp_path / "bare.safetensors")


def test_csgm_is_one_adam_for_each_image(problem: Problem, generator: Generator) -> None:
    result = csgm(problem, generator, steps=STEPS, keep="last")
    for row in range(3):
        z = problem.draw("start", generator.draw_latent)[row : row + 1].clone().requires_grad_()
        images = _descended(problem[row : row + 1], generator, z, torch.optim.Adam([z], lr=0.1))
        torch.testing.assert_close(result.images[row : row + 1], images)


def test_iagan_tunes_all_weights_and_no_statistics(problem: Problem, generator: Generator) -> None:
    z = problem.draw("start", generator.draw_latent)
    start = Reconstruction(generator.image(z), z, status=("ok",) * 3)
    result = iagan(problem, generator, start, steps=STEPS, lr_z=1e-2, lr_weights=1e-2, keep="last")
    for row in range(3):
        own, own_z = copy.deepcopy(generator).requires_grad_(True), z[row : row + 1].clone().requires_grad_()
        adam = torch.optim.Adam([own_z, *own.parameters()], lr=1e-2)
        torch.testing.assert_close(result.images[row : row + 1], _descended(problem[row : row + 1], own, own_z, adam))
        for name, buffer in generator.named_buffers():
            assert torch.equal(buffer, own.get_buffer(name))
        assert not torch.equal(own.norms[0].weight, generator.norms[0].weight)


def _descended(problem: Problem, generator: Generator, z: Tensor, adam: torch.optim.Adam) -> Tensor:
    """The image before the last step, as the methods keep it: the last loss is of this image."""
    for _ in range(STEPS):
        adam.zero_grad()
        x = generator.image(z)
        problem.residual(x).sum().backward()
        adam.step()
    return x.detach()
