"""StyleGAN2 against an independent implementation: one grouped convolution per image, filters written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.generators.stylegan2 import StyleGAN2

SMALL: dict[str, Any] = {"size": 32, "channels": 1, "widest": 12, "latent": 7, "mapping": 3}


def made(**changes: Any) -> StyleGAN2:
    """A small generator with random weights, biases and noise in float64."""
    generator = StyleGAN2(**{**SMALL, **changes}).double()
    rng = torch.Generator().manual_seed(1)
    for tensor in (*generator.parameters(), *generator.buffers()):
        tensor.data = torch.randn(tensor.shape, generator=rng, dtype=torch.float64)
    return generator


def latents(generator: StyleGAN2, count: int = 2) -> Tensor:
    rngs = [torch.Generator().manual_seed(seed) for seed in range(count)]
    return torch.stack([generator.draw_latent(rng) for rng in rngs]).double()


def upfirdn(x: Tensor, up: int, before: int, after: int) -> Tensor:
    """Zeros between pixels and around them, then the 4 x 4 filter with a gain of 4, pixel by pixel."""
    n, c, side, _ = x.shape
    spread = x.new_zeros(n, c, side * up, side * up)
    spread[:, :, ::up, ::up] = x
    padded = functional.pad(spread, (before, after, before, after))
    row = x.new_tensor([1.0, 3.0, 3.0, 1.0])
    kernel = 4 * row[:, None] * row / row.sum() ** 2
    windows = padded.unfold(2, 4, 1).unfold(3, 4, 1)
    return (windows * kernel.flip(0, 1)).sum((-1, -2))


def grouped(x: Tensor, w: Tensor, layer: Any, *, demodulate: bool, up: bool) -> Tensor:
    """The weights of each image, modulated and demodulated as in the paper, as groups of one convolution."""
    style = w @ (layer.style.weight / w.shape[1] ** 0.5).T + layer.style.bias + 1
    out, before, k, _ = layer.weight.shape
    weight = layer.weight / (before * k * k) ** 0.5 * style[:, None, :, None, None]
    if demodulate:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    n, _, height, width = x.shape
    folded = x.reshape(1, n * before, height, width)
    if up:
        transposed = weight.transpose(1, 2).reshape(n * before, out, k, k)
        found = functional.conv_transpose2d(folded, transposed, stride=2, groups=n)
        return upfirdn(found.unflatten(1, (n, out))[0], 1, 1, 1)
    found = functional.conv2d(folded, weight.flatten(0, 1), padding=k // 2, groups=n)
    return found.unflatten(1, (n, out))[0]


def plain(g: StyleGAN2, z: Tensor) -> Tensor:
    """The whole generator, written again."""
    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in g.mapping.layers:
        h = w @ (layer.weight * 0.01 / w.shape[1] ** 0.5).T + layer.bias * 0.01
        w = torch.where(h > 0, h, 0.2 * h) * 2**0.5
    x = g.constant[None].repeat(len(z), 1, 1, 1)
    image: Tensor | None = None
    for number, conv in enumerate(g.convs):
        h = grouped(x, w, conv.conv, demodulate=True, up=number % 2 == 1)
        h = h + conv.strength * getattr(g, f"noise_{number}") + conv.bias[:, None, None]
        x = torch.where(h > 0, h, 0.2 * h) * 2**0.5
        if number % 2 == 0:
            rgb = g.rgbs[number // 2]
            colours = grouped(x, w, rgb.conv, demodulate=False, up=False) + rgb.bias[:, None, None]
            image = colours if image is None else colours + upfirdn(image, 2, 2, 1)
    assert image is not None
    return image


def test_images_and_gradients_are_those_of_grouped_convolutions() -> None:
    generator = made()
    z = latents(generator).requires_grad_()
    variables = [z, *generator.parameters()]
    ours, theirs = generator(z), plain(generator, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found, expected = (torch.autograd.grad((x * direction).sum(), variables) for x in (ours, theirs))
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-8)


def test_the_number_of_parameters_is_the_published_one() -> None:
    with torch.device("meta"):
        generator = StyleGAN2()
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in generator.named_children()}
    assert counts["mapping"] == 2_101_248
    assert generator.constant.numel() + counts["convs"] + counts["rgbs"] == 28_268_812
    assert generator.layers == 18
    assert len(generator.convs) == 17


def test_gaussian_styles_are_those_of_the_fit() -> None:
    generator = made(styles="gaussian")
    z = latents(generator)
    assert z.shape == (2, 8, 7)
    mapped = made()
    mapped.load_state_dict(generator.state_dict())
    w = functional.leaky_relu(generator.fit_std * z + generator.fit_mean, 0.2)
    expected = mapped.image_from({**mapped.features(torch.zeros(2, 7).double(), "styles"), "w": w}, "styles")
    torch.testing.assert_close(generator.image(z), expected, rtol=1e-12, atol=1e-12)


def test_the_fit_is_of_the_mapping_before_its_last_activation() -> None:
    generator = made()
    with torch.no_grad():
        *layers, last = generator.mapping.layers
        h = torch.randn(200_000, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        h = h / (h.square().mean(1, keepdim=True) + 1e-8).sqrt()
        for layer in layers:
            h = functional.leaky_relu(layer(h), 0.2) * 2**0.5
        before = last(h) * 2**0.5
    generator.settle()
    torch.testing.assert_close(generator.fit_mean, before.mean(0), rtol=0.02, atol=0.02)
    torch.testing.assert_close(generator.fit_std, before.std(0), rtol=0.02, atol=0.02)


def test_each_layer_has_a_style_of_its_own() -> None:
    generator = made(styles="gaussian")
    z = latents(generator, 1)
    image = generator(z)
    for layer in range(generator.layers):
        changed = z.clone()
        changed[:, layer] += 1
        assert not torch.equal(generator(changed), image)


def test_features_without_rgb_give_the_image_of_finer_scales_alone() -> None:
    generator = made()
    features = generator.features(latents(generator), "8")
    whole, coarse = generator.image_from(features, "8"), features.pop("rgb")
    for _ in range(2):
        coarse = upfirdn(coarse, 2, 2, 1)
    torch.testing.assert_close(whole - generator.image_from(features, "8"), coarse / 2, rtol=1e-9, atol=1e-9)


def test_noise_can_be_replaced_for_each_image() -> None:
    generator = made()
    features = generator.features(latents(generator), "styles")
    noise = features["noise_2"].clone()
    noise[1] += 1
    before = generator.image_from(features, "styles")
    after = generator.image_from({**features, "noise_2": noise}, "styles")
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


def as_rosinality(g: StyleGAN2) -> dict[str, Any]:
    """Our weights under the names and shapes of the port."""
    held: dict[str, Tensor] = {"input.input": g.constant[None]}
    for number, layer in enumerate(g.mapping.layers, start=1):
        held |= {f"style.{number}.weight": layer.weight, f"style.{number}.bias": layer.bias}
    for number, conv in enumerate(g.convs):
        name = f"convs.{number - 1}" if number else "conv1"
        held |= modulated(f"{name}.conv", conv.conv)
        held[f"{name}.noise.weight"], held[f"{name}.activate.bias"] = conv.strength[None], conv.bias
        held[f"noises.noise_{number}"] = getattr(g, f"noise_{number}")[None, None]
        if number % 2:
            held[f"{name}.conv.blur.kernel"] = torch.ones(4, 4)
    for number, rgb in enumerate(g.rgbs):
        name = f"to_rgbs.{number - 1}" if number else "to_rgb1"
        held |= modulated(f"{name}.conv", rgb.conv)
        held[f"{name}.bias"] = rgb.bias.view(1, -1, 1, 1)
    return {"g_ema": {name: tensor.detach() for name, tensor in held.items()}, "latent_avg": torch.zeros(7)}


def modulated(name: str, layer: nn.Module) -> dict[str, Any]:
    style = layer.style
    return {
        f"{name}.weight": layer.weight[None],
        f"{name}.modulation.weight": style.weight,
        f"{name}.modulation.bias": style.bias + 1,
    }


def test_the_port_s_checkpoint_is_read() -> None:
    generator = made()
    state = StyleGAN2.converted(as_rosinality(generator), "rosinality")
    again = StyleGAN2(**SMALL).double()
    again.load_state_dict(state)
    z = latents(generator)
    assert torch.equal(again(z), generator(z))
    with pytest.raises(UserError, match=r"holds no tensor 'input\.input'"):
        StyleGAN2.converted({"g_ema": {"weight": torch.zeros(1)}}, "rosinality")


def test_a_spec_builds_it() -> None:
    generator = build_generator({"name": "stylegan2", **SMALL})
    assert generator.image(torch.zeros(1, 7)).shape == (1, 3, 32, 32)
