from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import load_generator
from reprior.generators.sagan import SAGAN
from reprior.machine.files import load_tensors, save_tensors
from reprior.networks.sagan import SelfAttention, Trunk, spectral
from reprior.networks.sagan_inverse import SAGANInverse
from reprior.networks.trained import trained
from reprior.optimise.per_image import PerImage

SMALL = {"channels": 4, "latent": 5}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(network: nn.Module) -> nn.Module:
    """The network with weights from a fixed draw: gamma is not zero."""
    for parameter, seed in zip(network.parameters(), range(999), strict=False):
        nn.init.uniform_(parameter, -0.5, 0.5, generator=rng(seed))
    return network


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a narrow generator that has seen a few batches."""
    generator = drawn(SAGAN(**SMALL))
    with torch.no_grad():
        for seed in range(3):
            generator(torch.randn(6, 5, generator=rng(seed)))
    path = tmp_path / "weights.safetensors"
    save_tensors(path, generator.state_dict())
    return path


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def of_convolution(before: int, after: int, side: int) -> int:
    return side**2 * before * after + after


def of_attention(channels: int) -> int:
    narrow = max(channels // 8, 1)
    return 2 * of_convolution(channels, narrow, 1) + of_convolution(channels, channels, 1) + 1


@pytest.mark.parametrize(("channels", "latent"), [(64, 128), (4, 5)])
def test_generator_has_the_layers_of_the_slides(channels: int, latent: int) -> None:
    widths = [latent, 8 * channels, 4 * channels, 2 * channels, channels]
    convolutions = sum(of_convolution(*pair, 4) for pair in zip(widths, [*widths[1:], 3], strict=True))
    normalisations = 2 * sum(widths[1:])
    expected = convolutions + normalisations + of_attention(2 * channels) + of_attention(channels)
    assert count(SAGAN(channels=channels, latent=latent)) == expected


@pytest.mark.parametrize(("channels", "latent"), [(64, 128), (4, 5)])
def test_inverse_has_the_layers_of_the_discriminator_and_ends_in_a_latent(channels: int, latent: int) -> None:
    widths = [3, channels, 2 * channels, 4 * channels, 8 * channels, latent]
    convolutions = sum(of_convolution(*pair, 4) for pair in zip(widths[:-1], widths[1:], strict=True))
    inverse = SAGANInverse(channels=channels, latent=latent)
    assert count(inverse) == convolutions + of_attention(4 * channels) + of_attention(8 * channels)
    assert inverse.image_shape == (3, 64, 64)
    assert inverse.latent_shape == (latent,)


def test_stages_have_their_sides() -> None:
    generator = SAGAN(**SMALL).eval()
    z = torch.randn(2, 5, generator=rng())
    assert generator.layer_names == ("4", "8", "16", "32")
    for name, width in zip(generator.layer_names, (32, 16, 8, 4), strict=True):
        features = generator.features(z, name)
        assert features["h"].shape == (2, width, int(name), int(name))
        torch.testing.assert_close(generator.image_from(features, name), generator.image(z))
    assert generator(z).abs().max() <= 1


def test_latents_are_standard_normal() -> None:
    generator = SAGAN(channels=1)
    z = torch.stack([generator.draw_latent(rng(seed)) for seed in range(100)])
    assert z.shape == (100, 128)
    assert z.mean().abs() < 0.03
    assert abs(z.std() - 1) < 0.03


def test_attention_is_the_papers_sum_over_positions() -> None:
    layer = drawn(SelfAttention(16)).double().eval()
    x = torch.randn(2, 16, 3, 5, generator=rng(), dtype=torch.float64)

    def mapped(conv: nn.Conv2d, row: np.ndarray) -> np.ndarray:
        return conv.weight.detach().numpy()[:, :, 0, 0] @ row + conv.bias.detach().numpy()[:, None]

    for row, found in zip(x.numpy(), layer(x).detach().numpy(), strict=True):
        flat = row.reshape(16, 15)
        f, g, h = (mapped(conv, flat) for conv in (layer.f, layer.g, layer.h))
        assert f.shape == g.shape == (2, 15)
        o = np.zeros((16, 15))
        for i in range(15):
            s = np.array([np.exp(f[:, j] @ g[:, i]) for j in range(15)])
            o[:, i] = sum(s[j] / s.sum() * h[:, j] for j in range(15))
        expected = layer.gamma.item() * o + flat
        np.testing.assert_allclose(found, expected.reshape(16, 3, 5), rtol=1e-9)


def test_attention_starts_as_the_identity() -> None:
    x = torch.randn(2, 8, 4, 4, generator=rng())
    assert torch.equal(SelfAttention(8)(x), x)


def matrix(convolution: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """A weight with one row per output channel. Reading it in training would be a step of power iteration."""
    weight = copy.deepcopy(convolution).eval().weight.detach()
    return (weight.transpose(0, 1) if isinstance(convolution, nn.ConvTranspose2d) else weight).flatten(1)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_spectral_norm_brings_the_largest_singular_value_to_1(kind: type) -> None:
    convolution = drawn(spectral(kind(3, 8, 4)))
    before = convolution.parametrizations.weight.original.clone()
    x = torch.zeros(1, 3, 8, 8)
    for _ in range(60):
        convolution(x)
    values = torch.linalg.svdvals(matrix(convolution))
    assert values[0].item() == pytest.approx(1, abs=1e-4)
    assert torch.equal(convolution.parametrizations.weight.original, before)


def test_spectral_norm_and_its_gradient_are_those_of_pytorch() -> None:
    ours, theirs = drawn(nn.ConvTranspose2d(3, 8, 4)), drawn(nn.ConvTranspose2d(3, 8, 4))
    spectral(ours)
    nn.utils.parametrizations.spectral_norm(theirs)
    u, v = theirs.parametrizations.weight[0]._u, theirs.parametrizations.weight[0]._v
    W = theirs.parametrizations.weight.original.detach().transpose(0, 1).flatten(1)
    u.copy_(ours.parametrizations.weight[0].u)
    v.copy_(nn.functional.normalize(W.T @ u, dim=0))
    x = torch.randn(2, 3, 5, 5, generator=rng())
    for _ in range(3):
        outputs = [convolution(x) for convolution in (ours, theirs)]
        torch.testing.assert_close(*outputs)
        gradients = [
            torch.autograd.grad(output.square().sum(), convolution.parametrizations.weight.original)[0]
            for output, convolution in zip(outputs, (ours, theirs), strict=True)
        ]
        torch.testing.assert_close(*gradients)


def test_evaluation_takes_no_step_of_power_iteration() -> None:
    trunk = drawn(Trunk((3, 16, 16), 2))
    x = torch.randn(2, 3, 16, 16, generator=rng())
    before = copy.deepcopy(trunk.state_dict())
    first, second = trunk.eval()(x), trunk(x)
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    trunk.train()(x)
    assert not torch.equal(trunk.convs[0].parametrizations.weight[0].u, before["convs.0.parametrizations.weight.0.u"])


def test_spectral_norm_stays_in_float32_under_autocast() -> None:
    plain = drawn(spectral(nn.Conv2d(3, 8, 4)))
    cast = copy.deepcopy(plain)
    with torch.autocast("cpu", torch.bfloat16):
        weight = cast.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, plain.weight)


def test_power_iteration_starts_from_no_global_random_draw() -> None:
    buffers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        buffers.append(dict(SAGAN(**SMALL).named_buffers()))
    assert all(torch.equal(value, buffers[1][name]) for name, value in buffers[0].items())


def test_weights_saved_and_loaded_give_the_same_images(weights: Path) -> None:
    z = torch.randn(3, 5, generator=rng(9))
    made = SAGAN(**SMALL)
    made.load_state_dict(load_tensors(weights)[0])
    generator = load_generator({"name": "sagan", **SMALL}, weights)
    torch.testing.assert_close(generator.image(z), made.eval().image(z))
    torch.testing.assert_close(generator.image(z)[1:2], generator.image(z[1:2]))
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert generator.attentions[2].gamma.item() != 0


def test_weights_of_another_width_are_refused(weights: Path) -> None:
    with pytest.raises(UserError, match=r"'convs.0.bias' should be \(16,\) but is \(32,\)"):
        load_generator({"name": "sagan", "channels": 2, "latent": 5}, weights)


def test_inverse_is_loaded_frozen_and_reads_images_in_0_1(tmp_path: Path) -> None:
    inverse = drawn(SAGANInverse(**SMALL))
    x = torch.rand(3, 3, 64, 64, generator=rng())
    with torch.no_grad():
        inverse(x)
    save_tensors(tmp_path / "inverse.safetensors", inverse.state_dict())
    spec = {"name": "sagan-inverse", **SMALL, "weights": tmp_path / "inverse.safetensors"}
    loaded = trained("network", spec)
    assert loaded(x).shape == (3, 5)
    torch.testing.assert_close(loaded(x), inverse.eval()(x))
    torch.testing.assert_close(loaded(x)[2:], loaded(x[2:]))
    h = 2 * x - 1
    for conv, attention in zip(inverse.trunk.convs, inverse.trunk.attentions, strict=True):
        h = nn.functional.conv2d(h, conv.weight, conv.bias, stride=2, padding=1)
        h = attention(torch.where(h > 0, h, 0.1 * h))
    z = torch.einsum("nchw,kchw->nk", h, inverse.out.weight) + inverse.out.bias
    torch.testing.assert_close(loaded(x), z)


@pytest.mark.parametrize("together", [True, False])
def test_each_image_may_have_its_own_weights(weights: Path, together: bool) -> None:
    generator = load_generator({"name": "sagan", **SMALL}, weights, dtype=torch.float64)
    z = torch.randn(2, 5, generator=rng(4), dtype=torch.float64)
    per_image = PerImage(generator, together)
    own = torch.stack([per_image.weights(), 1.5 * per_image.weights() + 0.01])
    images = per_image(own, z)
    torch.testing.assert_close(images[:1], generator(z[:1]))
    other = copy.deepcopy(generator)
    for parameter in other.parameters():
        parameter.mul_(1.5).add_(0.01)
    torch.testing.assert_close(images[1:], other(z[1:]))


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 8, 8), (3, 64, 32), (3, 4, 4)])
def test_sizes_that_do_not_halve_to_4_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match=f"not {shape[1]} x {shape[2]}"):
        Trunk(shape, 2)
