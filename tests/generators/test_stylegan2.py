"""StyleGAN2 against an independent implementation: one grouped convolution per image, filters written out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.acquire.checkpoints import read_checkpoint
from reprior.acquire.registry import sources
from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.generators.stylegan2 import PUBLISHED, StyleGAN2
from reprior.optimise.per_image import PerImage
from reprior.planning.messages import checked_spec
from reprior.planning.weights import known_weights, matching
from tests.acquire.ada_pickles import Module, pickled

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


def test_a_frozen_generator_gives_the_same_images_and_gradients() -> None:
    generator = made().requires_grad_(False)
    for _ in range(2):  # the second time with what the first has kept
        z = latents(generator).requires_grad_()
        ours, theirs = generator(z), plain(generator, z)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        found, expected = (torch.autograd.grad(x.square().sum(), z)[0] for x in (ours, theirs))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def trained(generator: StyleGAN2) -> StyleGAN2:
    """After a step of training, and frozen again."""
    adam = torch.optim.Adam(generator.requires_grad_(True).parameters(), lr=0.1, fused=True)
    generator(latents(generator)).square().sum().backward()
    adam.step()
    return generator.requires_grad_(False)


def loaded(generator: StyleGAN2, assign: bool) -> StyleGAN2:
    held = {name: 1.5 * tensor for name, tensor in generator.state_dict().items()}
    generator.load_state_dict(held, assign=assign)
    return generator.requires_grad_(False)


def averaged(generator: StyleGAN2) -> StyleGAN2:
    for parameter in generator.parameters():
        parameter.lerp_(torch.ones_like(parameter), 0.3)
    return generator


def with_new_data(generator: StyleGAN2) -> StyleGAN2:
    for parameter in generator.parameters():
        parameter.data = 1.5 * parameter.data
    return generator


CHANGES: dict[str, Callable[[StyleGAN2], StyleGAN2]] = {
    "trained": trained,
    "a copy, trained": lambda generator: trained(copy.deepcopy(generator)),
    "a copy, averaged": lambda generator: averaged(copy.deepcopy(generator)),
    "loaded": lambda generator: loaded(generator, assign=False),
    "loaded as it is": lambda generator: loaded(generator, assign=True),
    "averaged": averaged,
    "with new data": with_new_data,
    "rounded": lambda generator: generator.to(torch.bfloat16).to(torch.float64),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_frozen_generator_keeps_nothing_of_weights_that_have_changed(change: str) -> None:
    generator = made().requires_grad_(False)
    z, before = latents(generator), generator(latents(generator))
    changed = CHANGES[change](generator)
    fresh = made()
    fresh.load_state_dict(changed.state_dict())
    assert torch.equal(changed(z), fresh.requires_grad_(False)(z))
    assert not torch.allclose(changed(z), before)


def test_weights_of_one_call_leave_nothing_behind() -> None:
    generator, z = made().requires_grad_(False), latents(made())
    image, network = generator(z), PerImage(generator)
    rows = torch.stack([network.weights(), 1.5 * network.weights()])
    found = network(rows, z)
    torch.testing.assert_close(found[0], image[0], rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found[1], image[1])
    assert torch.equal(generator(z), image)


def test_a_first_call_without_gradients_does_not_prevent_later_ones() -> None:
    generator, z = made().requires_grad_(False), latents(made())
    with torch.inference_mode():
        generator(z)
    assert torch.autograd.grad(generator(z.requires_grad_()).sum(), z)[0].any()


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


def read(held: Any, layout: str) -> StyleGAN2:
    again = StyleGAN2(**SMALL).double()
    again.load_state_dict(StyleGAN2.converted(held, layout))
    return again


def test_the_port_s_checkpoint_is_read() -> None:
    generator, z = made(), latents(made())
    assert torch.equal(read(as_rosinality(generator), "rosinality")(z), generator(z))
    with pytest.raises(UserError, match=r"holds no tensor 'input\.input'"):
        StyleGAN2.converted({"g_ema": {"weight": torch.zeros(1)}}, "rosinality")


def test_noise_maps_are_drawn_for_a_checkpoint_without() -> None:
    generator, held = made(), as_rosinality(made())
    for number in range(len(generator.convs)):
        del held["g_ema"][f"noises.noise_{number}"]
    first, second = (read(held, "rosinality") for _ in range(2))
    for number in range(len(generator.convs)):
        drawn = getattr(first, f"noise_{number}")
        assert torch.equal(drawn, getattr(second, f"noise_{number}"))
        generator.register_buffer(f"noise_{number}", drawn)
    assert 0.9 < first.noise_6.std() < 1.1
    z = latents(generator)
    assert torch.equal(first(z), generator(z))


def as_mmagic(g: StyleGAN2) -> dict[str, Any]:
    """Our weights as a checkpoint of OpenMMLab: also the last iterate, and colours from blue to red."""
    held: dict[str, Tensor] = {"constant_input.input": g.constant[None]}

    def put(name: str, layer: Any) -> None:
        held[f"{name}.conv.weight_orig"] = layer.conv.weight[None]
        held[f"{name}.conv.style_modulation.linear.weight_orig"] = layer.conv.style.weight
        held[f"{name}.conv.style_modulation.bias"] = layer.conv.style.bias + 1

    for number, layer in enumerate(g.mapping.layers, start=1):
        held[f"style_mapping.{number}.linear.weight_orig"] = layer.weight
        held[f"style_mapping.{number}.bias"] = layer.bias
    for number, conv in enumerate(g.convs):
        name = f"convs.{number - 1}" if number else "conv1"
        put(name, conv)
        held[f"{name}.noise_injector.weight"], held[f"{name}.activate.bias"] = conv.strength[None], conv.bias
        held[f"injected_noise_{number}"] = getattr(g, f"noise_{number}")[None, None]
    for number, rgb in enumerate(g.rgbs):
        name = f"to_rgbs.{number - 1}" if number else "to_rgb1"
        put(name, rgb)
        held[f"{name}.conv.weight_orig"] = rgb.conv.weight[None].flip(1)
        held[f"{name}.bias"] = rgb.bias.view(1, -1, 1, 1).flip(1)
        held[f"{name}.upsample.kernel"] = torch.ones(4, 4)
    average = {f"generator_ema.{name}": value.detach() for name, value in held.items()}
    return {"meta": {"mmgen": "0.1"}, "state_dict": {f"generator.{name}": torch.zeros(1) for name in held} | average}


def test_a_checkpoint_of_openmmlab_is_read(tmp_path: Path) -> None:
    generator, z = made(), latents(made())
    torch.save(as_mmagic(generator), tmp_path / "official.pth")
    assert torch.equal(read(read_checkpoint(tmp_path / "official.pth"), "mmagic")(z), generator(z))


def as_ada(g: StyleGAN2) -> dict[str, Tensor]:
    """Our weights as the state dict of the authors' port."""
    held: dict[str, Tensor] = {"mapping.w_avg": torch.zeros(7), "synthesis.b4.const": g.constant}

    def put(name: str, layer: Any) -> None:
        held[f"{name}.weight"], held[f"{name}.bias"] = layer.conv.weight, layer.bias
        held[f"{name}.affine.weight"] = layer.conv.style.weight
        held[f"{name}.affine.bias"] = nn.Parameter(layer.conv.style.bias + 1)

    for number, layer in enumerate(g.mapping.layers):
        held[f"mapping.fc{number}.weight"], held[f"mapping.fc{number}.bias"] = layer.weight, layer.bias
    for number, conv in enumerate(g.convs):
        name = f"synthesis.b{g.sides[(number + 1) // 2]}.conv{1 - number % 2}"
        put(name, conv)
        held[f"{name}.noise_const"], held[f"{name}.noise_strength"] = getattr(g, f"noise_{number}"), conv.strength
        held[f"{name}.resample_filter"] = torch.ones(4, 4)
    for side, rgb in zip(g.sides, g.rgbs, strict=True):
        put(f"synthesis.b{side}.torgb", rgb)
        held[f"synthesis.b{side}.resample_filter"] = torch.ones(4, 4)
    return held


def in_ada(held: dict[str, Tensor], z: Tensor) -> Tensor:
    """The image as the authors' port computes it. Doubling comes first here, then true convolution, which flips."""

    def dense(name: str, x: Tensor, rate: float = 1.0) -> Tensor:
        weight, bias = held[f"{name}.weight"], held[f"{name}.bias"]
        return x @ weight.T * (rate / x.shape[1] ** 0.5) + bias * rate

    def leaky(x: Tensor) -> Tensor:
        return functional.leaky_relu(x, 0.2) * 2**0.5

    def modulated(name: str, x: Tensor, style: Tensor, *, demodulate: bool, up: bool = False) -> Tensor:
        weights = held[f"{name}.weight"] * style[:, None, :, None, None]  # [N, after, before, k, k]
        if demodulate:
            weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        if up:
            x, weights = upfirdn(x, 2, 3, 2), weights.flip(3, 4)
        padding = 0 if up else weights.shape[-1] // 2
        return torch.cat([functional.conv2d(x[n : n + 1], w, padding=padding) for n, w in enumerate(weights)])

    w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for number in range(SMALL["mapping"]):
        w = leaky(dense(f"mapping.fc{number}", w, 0.01))
    x, image = held["synthesis.b4.const"].expand(len(z), -1, -1, -1), torch.zeros(())
    for side in (4, 8, 16, 32):
        for conv in ("conv0", "conv1") if side > 4 else ("conv1",):
            name = f"synthesis.b{side}.{conv}"
            x = modulated(name, x, dense(f"{name}.affine", w), demodulate=True, up=conv == "conv0")
            x = x + held[f"{name}.noise_const"] * held[f"{name}.noise_strength"]
            x = leaky(x + held[f"{name}.bias"][:, None, None])
        name = f"synthesis.b{side}.torgb"
        style = dense(f"{name}.affine", w) / x.shape[1] ** 0.5
        rgb = modulated(name, x, style, demodulate=False) + held[f"{name}.bias"][:, None, None]
        image = rgb if side == 4 else upfirdn(image, 2, 2, 1) + rgb
    return image


def test_the_authors_pickle_is_read_as_their_code_reads_it(tmp_path: Path) -> None:
    generator, z, file = made(), latents(made()), tmp_path / "ffhq.pkl"
    held = as_ada(generator)
    file.write_bytes(pickled({"G": Module({"x": torch.zeros(1)}), "G_ema": Module(held)}))
    again = read(read_checkpoint(file), "ada")
    assert torch.equal(again(z), generator(z))
    with torch.no_grad():
        torch.testing.assert_close(again(z), in_ada(held, z), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("styles", ["mapped", "gaussian"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_serve_both_kinds_of_latents(name: str, styles: str, root: Path) -> None:
    known = known_weights(root)
    spec = {"name": "stylegan2", "styles": styles, "size": PUBLISHED[name]["settings"]["size"]}  # type: ignore[index]
    assert not matching(known, name, checked_spec("generator", spec, root, name))
    assert "size is" in matching(known, name, checked_spec("generator", spec | {"size": 64}, root, name))
    assert known[name].source in sources()


def test_the_width_at_256_pixels_is_the_port_s() -> None:
    with torch.device("meta"):
        generator = StyleGAN2(size=256)
    assert [len(conv.bias) for conv in generator.convs[-5:]] == [512, 256, 256, 128, 128]


def test_a_spec_builds_it() -> None:
    generator = build_generator({"name": "stylegan2", **SMALL})
    assert generator.image(torch.zeros(1, 7)).shape == (1, 3, 32, 32)
