from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch.func import functional_call, vmap

from reprior.errors import UserError
from reprior.generators.base import build_generator, load_generator
from reprior.generators.began import BEGAN
from reprior.machine.files import save_tensors
from reprior.training.task import initialise

SPEC = {"name": "began", "size": 64, "channels": 4, "latent": 5}


@pytest.fixture
def small() -> BEGAN:
    generator = BEGAN(size=64, channels=4, latent=5)
    initialise(generator, torch.Generator().manual_seed(0))
    return generator


@pytest.mark.parametrize(("size", "channels", "count"), [(128, 128, 2_011_779), (128, 64, 637_251), (64, 64, 563_395)])
def test_has_the_published_number_of_parameters(size: int, channels: int, count: int) -> None:
    generator = BEGAN(size=size, channels=channels)
    assert sum(parameter.numel() for parameter in generator.parameters()) == count
    assert generator.image(torch.zeros(1, 64)).shape == (1, 3, size, size)


@pytest.mark.parametrize("size", [64, 128])
def test_image_has_the_promised_shape(size: int) -> None:
    generator = BEGAN(size=size, channels=4)
    images = generator.image(torch.zeros(2, *generator.latent_shape))
    assert images.shape == (2, *generator.image_shape) == (2, 3, size, size)


def test_equals_a_decoder_written_as_plain_matrix_algebra(small: BEGAN) -> None:
    w = {name: parameter.detach().double() for name, parameter in small.named_parameters()}
    z = torch.rand(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1

    def convolve(h: torch.Tensor, name: str) -> torch.Tensor:
        padded = torch.zeros(h.shape[0], h.shape[1] + 2, h.shape[2] + 2, dtype=h.dtype)
        padded[:, 1:-1, 1:-1] = h
        patches = padded.unfold(1, 3, 1).unfold(2, 3, 1)
        return torch.einsum("ocij,chwij->ohw", w[f"{name}.weight"], patches) + w[f"{name}.bias"][:, None, None]

    h = (w["fc.weight"] @ z + w["fc.bias"]).reshape(4, 8, 8)
    for scale in range(4):
        h = h if scale == 0 else h.repeat_interleave(2, 1).repeat_interleave(2, 2)
        for layer in range(2):
            h = convolve(h, f"blocks.{scale}.{layer}")
            h = torch.where(h > 0, h, h.exp() - 1)
    torch.testing.assert_close(small.double()(z[None])[0], convolve(h, "out"))


def test_image_maps_the_native_range_to_zero_and_one(small: BEGAN) -> None:
    z = torch.zeros(1, 5)
    torch.testing.assert_close(small.image(z), small(z) / 2 + 0.5)


def test_output_is_linear_or_its_hyperbolic_tangent(small: BEGAN) -> None:
    bounded = BEGAN(size=64, channels=4, latent=5, output="tanh")
    bounded.load_state_dict(small.state_dict())
    z = torch.full((1, 5), 3.0)
    torch.testing.assert_close(bounded(z), torch.tanh(small(z)))


def test_latents_are_uniform_and_follow_their_seed(small: BEGAN) -> None:
    draws = torch.stack([small.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(2000)])
    assert draws.shape == (2000, 5)
    assert draws.abs().max() <= 1
    assert draws.mean().abs() < 0.03
    assert abs(draws.var() - 1 / 3) < 0.01
    assert torch.equal(draws[7], small.draw_latent(torch.Generator().manual_seed(7)))


def test_runs_under_weights_of_its_own_for_each_image(small: BEGAN) -> None:
    small.double()
    z = torch.stack([small.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(3)]).double()
    factors = torch.tensor([0.5, 1.0, 2.0])
    stacked = {name: torch.stack([p.detach() * f for f in factors]) for name, p in small.named_parameters()}
    together = vmap(lambda weights, latent: functional_call(small, weights, (latent[None],))[0])(stacked, z)
    for row, factor in enumerate(factors):
        alone = BEGAN(size=64, channels=4, latent=5).double()
        alone.load_state_dict({name: p * factor for name, p in small.state_dict().items()})
        torch.testing.assert_close(together[row], alone(z[row : row + 1])[0])


def test_loads_what_was_saved_frozen_and_channels_last(small: BEGAN, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_tensors(weights, small.state_dict())
    loaded = load_generator(SPEC, weights, dtype=torch.float64)
    z = torch.full((2, 5), 0.3)
    torch.testing.assert_close(loaded(z.double()).float(), small(z))
    assert not loaded.training
    for parameter in loaded.parameters():
        assert not parameter.requires_grad
        assert parameter.ndim < 4 or parameter.is_contiguous(memory_format=torch.channels_last)


def _without_fc_bias(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["fc.bias"]


def _with_another(tensors: dict[str, torch.Tensor]) -> None:
    tensors["skip.weight"] = torch.zeros(1)


def _wider(tensors: dict[str, torch.Tensor]) -> None:
    tensors["out.weight"] = torch.zeros(3, 8, 3, 3)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_fc_bias, r"'fc.bias' should be \(256,\) but is no such tensor"),
        (_with_another, r"'skip.weight' should be no such tensor but is \(1,\)"),
        (_wider, r"'out.weight' should be \(3, 4, 3, 3\) but is \(3, 8, 3, 3\)"),
    ],
)
def test_weights_of_another_network_are_refused(small: BEGAN, tmp_path: Path, spoil, said: str) -> None:
    tensors = dict(small.state_dict())
    spoil(tensors)
    weights = tmp_path / "odd.safetensors"
    save_tensors(weights, tensors)
    with pytest.raises(UserError, match=said) as error:
        load_generator(SPEC, weights)
    assert str(weights) in str(error.value)


def test_frozen_weights_give_the_same_image_and_gradient(small: BEGAN) -> None:
    frozen = copy.deepcopy(small.double()).requires_grad_(False)
    z = torch.rand(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    images, expected = frozen.image(z), small.image(z)
    torch.testing.assert_close(images, expected, rtol=1e-10, atol=1e-10)
    found, wanted = (torch.autograd.grad(x.square().sum(), z)[0] for x in (images, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_the_sums_of_weights_that_are_kept_are_exact_and_follow_the_weights(small: BEGAN) -> None:
    frozen = copy.deepcopy(small).requires_grad_(False)
    z = torch.ones(1, 5)
    with torch.autocast("cpu", torch.bfloat16):
        rough = frozen.image(z)
    torch.testing.assert_close(frozen.image(z), small.image(z))
    torch.testing.assert_close(rough, small.image(z), rtol=0, atol=0.05 * small(z).abs().max().item())
    halves = {name: value / 2 for name, value in small.state_dict().items()}
    for network in (frozen, small):
        network.load_state_dict(halves)
    torch.testing.assert_close(frozen.image(z), small.image(z))
    assert (frozen.image(z) - rough).abs().max() > 1e-3


def test_a_spec_builds_the_generator_it_names_and_spares_the_global_random_state() -> None:
    state = torch.get_rng_state()
    generator = build_generator(SPEC)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(generator, BEGAN)
    assert generator.latent_shape == (5,)
