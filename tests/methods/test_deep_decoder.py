"""The Deep Decoder: its size, its layers compared with PyTorch's, and how it fits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from reprior.errors import UserError
from reprior.methods.base import Problem
from reprior.methods.deep_decoder import decoder, deep_decoder
from reprior.networks.deep_decoder import DeepDecoder, Form, largest_below, parameters
from reprior.operators.identity import Identity

FORMS: list[Form] = ["hybrid", "heckel"]


WIDE = (3, 16, 32)


@pytest.fixture
def problem() -> Problem:
    """Four images, measured in full."""
    truth = torch.rand(4, 3, 2, 4, generator=torch.Generator().manual_seed(3))
    images = functional.interpolate(truth, size=WIDE[1:], mode="bicubic")
    return Problem(images, Identity(WIDE, torch.Generator()), "s", "c", ("0", "1", "2", "3"))


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("k", "count"), [(68, 19_519), (47, 9_544)])
def test_its_parameters_are_those_that_figure_7_counts(k: int, count: int) -> None:
    assert parameters(k) == size(DeepDecoder(k, (3, 128, 128))) == count


@pytest.mark.parametrize("k", [1, 3, 16])
@pytest.mark.parametrize("form", FORMS)
def test_parameters_are_counted_without_making_the_network(form: Form, k: int) -> None:
    assert parameters(k, form) == size(DeepDecoder(k, (3, 32, 16), form))


@pytest.mark.parametrize(
    ("latents", "widths"),
    [
        (64, {500: 8, 1000: 13, 1500: 17, 2000: 20, 2500: 22, 3000: 25, 5000: 33, 7500: 41, 10_000: 47, 20_000: 68}),
        (100, {250: 4, 500: 8, 1000: 13, 2000: 19, 2500: 22, 5000: 33, 7500: 41, 10_000: 47}),
    ],
)
def test_the_width_is_the_largest_that_the_measurements_allow(latents: int, widths: dict[int, int]) -> None:
    assert {m: largest_below(m, latents) for m in widths} == widths


@given(st.integers(120, 50_000), st.integers(0, 64), st.sampled_from(FORMS))
def test_one_channel_more_would_be_overparameterised(m: int, beside: int, form: Form) -> None:
    k = largest_below(m, beside, form)
    assert parameters(k, form) + beside < m <= parameters(k + 1, form) + beside


def test_too_few_measurements_for_any_decoder_are_an_error() -> None:
    with pytest.raises(UserError, match=r"fewer than 16 parameters \(80 measurements, 64 latents\)"):
        largest_below(80, 64)


@pytest.mark.parametrize("sides", [(32, 40), (40, 32), (16, 16)])
def test_sides_that_cannot_be_doubled_four_times_are_an_error(sides: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"multiples of 16, .*; got {sides[0]} x {sides[1]}"):
        DeepDecoder(2, (3, *sides))


def plain(network: DeepDecoder, u: Tensor) -> Tensor:
    """The same network of PyTorch's layers, with every bias added."""
    h = u
    for layer, (conv, norm) in enumerate(zip(network.convs, network.norms, strict=True)):
        corners = network.form == "hybrid"
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=corners) if layer < 4 else nn.Identity()
        h = functional.relu(up(norm(conv(h)))) if corners else norm(functional.relu(up(conv(h))))
    return torch.sigmoid(network.out(h))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("products", [0, 4, 128])
def test_it_is_the_network_of_plain_layers(form: Form, products: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprior.networks.deep_decoder._PRODUCTS", products)
    network = DeepDecoder(5, (3, 48, 32), form).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    u = torch.rand(1, 5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert network(u).shape == (1, 3, 48, 32)
    torch.testing.assert_close(network(u), plain(network, u), rtol=0, atol=1e-5)  # the weights of doubling are float32


def test_inputs_belong_to_the_image_and_are_drawn_as_stated(problem: Problem) -> None:
    _, normal = decoder(problem, 200, 0, "hybrid")
    _, uniform = decoder(problem, 200, 0, "heckel")
    assert normal.shape == uniform.shape == (4, 200, 1, 2)
    assert normal.std().item() == pytest.approx(1, abs=0.1)
    assert uniform.min() >= 0 and 0.09 < uniform.max() < 0.1
    _, alone = decoder(problem[2:3], 200, 0, "hybrid")
    assert torch.equal(alone[0], normal[2])


@pytest.mark.parametrize("form", FORMS)
def test_it_fits_each_image_and_returns_the_last_iterate(problem: Problem, form: Form) -> None:
    found = deep_decoder(problem, steps=80, channels=12, form=form)
    assert found.trace is not None
    torch.testing.assert_close(problem.residual(found.images), found.trace[:, -1])
    assert (found.trace[:, -1] < 0.7 * found.trace[:, 0]).all()


def test_its_width_follows_from_the_measurements(problem: Problem) -> None:
    deep_decoder(problem, steps=1, beside=64)
    assert problem.watch.parameters == parameters(largest_below(3 * 16 * 32, 64))
