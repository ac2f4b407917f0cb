from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from reprior.generators.base import build_generator
from reprior.generators.began_skip import BEGANSkip
from reprior.optimise.per_image import PerImage


@pytest.fixture
def small() -> BEGANSkip:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BEGANSkip(size=64, channels=3, latent=5).double()


def test_has_the_published_number_of_parameters() -> None:
    generator = build_generator({"name": "began-skip"})
    assert sum(parameter.numel() for parameter in generator.parameters()) == 2_592_128


@pytest.mark.parametrize("size", [64, 128])
def test_image_has_the_promised_shape(size: int) -> None:
    generator = BEGANSkip(size=size, channels=2)
    images = generator.image(torch.zeros(2, *generator.latent_shape))
    assert images.shape == (2, *generator.image_shape) == (2, 3, size, size)


def test_each_finer_scale_sees_the_last_one_and_the_first_map(small: BEGANSkip) -> None:
    z = torch.rand(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h0 = (z @ small.fc.weight.T).reshape(2, 3, 8, 8)
    h = h0
    for scale, (first, second) in enumerate(small.blocks):
        side = 8 * 2**scale
        if scale:
            nearest = [functional.interpolate(part, size=(side, side)) for part in (h, h0)]
            h = functional.conv2d(nearest[0], first.weight[:, :3], padding=1)
            h = h + functional.conv2d(nearest[1], first.weight[:, 3:], padding=1)
        else:
            h = functional.conv2d(h, first.weight, padding=1)
        h = functional.elu(functional.conv2d(functional.elu(h), second.weight, padding=1))
    torch.testing.assert_close(small(z), functional.conv2d(h, small.out.weight, padding=1))


def test_has_no_biases_so_that_a_latent_of_zero_is_mid_grey(small: BEGANSkip) -> None:
    assert torch.equal(small.image(torch.zeros(1, 5).double()), torch.full((1, 3, 64, 64), 0.5).double())


def test_runs_under_weights_of_its_own_for_each_image(small: BEGANSkip) -> None:
    small.requires_grad_(False)
    z = torch.rand(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = PerImage(small)
    together = own(torch.stack([own.weights(), 2 * own.weights()]), z)
    torch.testing.assert_close(together[0], small(z[:1])[0])
    small.load_state_dict({name: 2 * weight for name, weight in small.state_dict().items()})
    torch.testing.assert_close(together[1], small(z[1:])[0])
