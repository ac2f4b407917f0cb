from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from reprior.generators import pggan
from reprior.generators.base import build_generator
from reprior.generators.pggan import PGGAN, normalise


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> PGGAN:
    """The real network except for its width, with biases and scales that differ from their initial values."""
    monkeypatch.setattr(pggan, "WIDEST", 6)
    generator = PGGAN(size=256).double()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("bias", "scale")):
                parameter.add_(0.3 * torch.rand(parameter.shape, generator=rng))
            else:
                parameter.normal_(generator=rng)
    return generator


def test_has_the_published_widths_and_number_of_parameters() -> None:
    generator = PGGAN()
    assert [scale[1].bias.shape[0] for scale in generator.scales] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert sum(parameter.numel() for parameter in generator.parameters()) == 23_071_526


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_image_has_the_promised_shape(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pggan, "WIDEST", 2)
    generator = PGGAN(size=size)
    images = generator.image(torch.ones(1, *generator.latent_shape))
    assert images.shape == (1, *generator.image_shape) == (1, 3, size, size)


@pytest.mark.slow
def test_runs_at_full_size() -> None:
    generator = build_generator({"name": "pggan"}).eval().requires_grad_(False)
    image = generator.image(torch.randn(1, 512, generator=torch.Generator().manual_seed(0)))
    assert image.shape == (1, 3, 1024, 1024)
    # factors and pixel norm keep the scale of the features: an untrained network is neither flat nor exploding
    assert 0.1 < image.std() < 1


def test_factors_are_those_of_the_release() -> None:
    """Its dense layer has gain sqrt(2) / 4 and fan-in 512; a convolution has gain sqrt(2) and fan-in 9 x its input."""
    scales = PGGAN(size=256).scales
    assert scales[0][0].scale.item() == pytest.approx(1 / 64)
    assert scales[0][1].scale.item() == pytest.approx(1 / 48)
    assert scales[5][0].scale.item() == pytest.approx((2 / (9 * 256)) ** 0.5)


def test_equals_the_ported_order_of_operations(narrow: PGGAN) -> None:
    """The public port normalises before each convolution, ours after. This test uses the port's order."""
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = z.reshape(2, 6, 1, 1)
    for scale, convs in enumerate(narrow.scales):
        for layer, block in enumerate(convs):
            h = h / (h.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()
            if scale > 0 and layer == 0:
                h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            padding = 3 if scale == layer == 0 else 1
            weight = block.weight * block.scale
            h = functional.leaky_relu(functional.conv2d(h, weight, block.bias, padding=padding), 0.2)
    h = h / (h.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()
    expected = functional.conv2d(h, narrow.out.weight * narrow.out.scale, narrow.out.bias)
    torch.testing.assert_close(narrow(z), expected)


def test_only_the_direction_of_the_latent_matters(narrow: PGGAN) -> None:
    z = torch.randn(1, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(narrow(3 * z), narrow(z), rtol=1e-5, atol=1e-5)


def test_pixel_norm_gives_unit_root_mean_square() -> None:
    x = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(normalise(x).square().mean(1), torch.ones(2, 3, 3))


def test_latents_are_standard_normal(narrow: PGGAN) -> None:
    z = torch.stack([narrow.draw_latent(torch.Generator().manual_seed(seed)) for seed in range(2000)])
    assert z.shape == (2000, 6)
    assert z.mean().abs() < 0.03
    assert abs(z.std() - 1) < 0.03
