"""Public checkpoints of StyleGAN2 under our names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reprior.generators.layouts import Layout, part, renamed
from reprior.networks.stylegan2 import MappingNetwork, fitted
from reprior.seeds import SHARED, rng_for

_DENSE = {"weight": "weight", "bias": "bias"}
_AVERAGE = "generator_ema."
"""mmagic's prefix of the moving average."""
_SHORTER = {
    "style_mapping": "style",
    "constant_input": "input",
    "style_modulation": "modulation",
    "noise_injector": "noise",
    "injected_noise": "noises.noise",
    ".linear": "",
    "_orig": "",
}
"""Parts of mmagic's names, and rosinality's for them."""


def noise_name(number: int) -> str:
    """The name of the noise map of a 3x3 convolution."""
    return f"noise_{number}"


def _from_rosinality(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The most used port to PyTorch. It keeps the moving average as `g_ema`, and blur filters, which are constants.

    Its older checkpoints hold no noise maps, because its code drew noise for each image. Then maps are drawn here.
    """
    held = part(state, "g_ema") or state
    convs = ["conv1", *_numbered(held, "convs.", ".conv.weight")]
    rgbs = ["to_rgb1", *_numbered(held, "to_rgbs.", ".conv.weight")]
    modulated = {
        "conv.weight": "conv.weight",
        "conv.style.weight": "conv.modulation.weight",
        "conv.style.bias": "conv.modulation.bias",
    }
    names = {
        "constant": "input.input",
        **_names("mapping.layers", _numbered(held, "style.", ".weight", first=1), _DENSE),
        **_names("convs", convs, {**modulated, "strength": "noise.weight", "bias": "activate.bias"}),
        **_names("rgbs", rgbs, {**modulated, "bias": "bias"}),
    }
    noises = {noise_name(number): f"noises.{noise_name(number)}" for number in range(len(convs))}
    if noises[noise_name(0)] in held:
        return _converted(held, names | noises)
    return _converted(held, names) | _drawn_noises(len(convs))


def _from_ada(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The authors' own port to PyTorch (StyleGAN2-ADA): networks, of which `G_ema` is the moving average.

    It has no equalised learning rate for 3x3 convolutions, because demodulation cancels it. Networks that it trained in
    half precision also clamp activations, at 256. Ours does not.
    """
    held = part(state, "G_ema") or state
    scales = sum(name.endswith(".torgb.weight") for name in held)
    blocks = [f"synthesis.b{4 * 2**scale}" for scale in range(scales)]
    convs = [f"{block}.{conv}" for block in blocks for conv in ("conv0", "conv1")][1:]  # the first block has no conv0
    modulated = {
        "conv.weight": "weight",
        "conv.style.weight": "affine.weight",
        "conv.style.bias": "affine.bias",
        "bias": "bias",
    }
    names = {
        "constant": "synthesis.b4.const",
        **_names("mapping.layers", _numbered(held, "mapping.fc", ".weight"), _DENSE),
        **_names("convs", convs, {**modulated, "strength": "noise_strength"}),
        **_names("rgbs", [f"{block}.torgb" for block in blocks], modulated),
        **{noise_name(number): f"{conv}.noise_const" for number, conv in enumerate(convs)},
    }
    return _converted(held, names)


def _from_mmagic(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """OpenMMLab's port: rosinality's names made longer, and colours in the order blue, green, red."""
    held = part(state, "state_dict") or state
    average = {name.removeprefix(_AVERAGE): value for name, value in held.items() if name.startswith(_AVERAGE)}
    converted = _from_rosinality({_shorter(name): value for name, value in average.items()})
    colours = re.compile(r"rgbs\.\d+\.(conv\.weight|bias)")
    return {name: value.flip(0) if colours.fullmatch(name) else value for name, value in converted.items()}


LAYOUTS: Mapping[str, Layout] = {"rosinality": _from_rosinality, "ada": _from_ada, "mmagic": _from_mmagic}


def _shorter(name: str) -> str:
    """rosinality's name of a tensor of mmagic."""
    for long, short in _SHORTER.items():
        name = name.replace(long, short)
    return name


def _numbered(state: Mapping[str, Any], layer: str, weight: str, first: int = 0) -> list[str]:
    """`convs.0`, `convs.1`, ...: the layers of a checkpoint that are numbered; `weight` ends the name of a weight."""
    names = re.compile(rf"{re.escape(layer)}\d+{re.escape(weight)}")
    count = sum(names.fullmatch(name) is not None for name in state)
    return [f"{layer}{number}" for number in range(first, first + count)]


def _names(group: str, layers: Sequence[str], tensors: Mapping[str, str]) -> dict[str, str]:
    """The checkpoint's name for each of ours; `tensors` gives it within a layer."""
    return {
        f"{group}.{number}.{ours}": f"{layer}.{theirs}"
        for number, layer in enumerate(layers)
        for ours, theirs in tensors.items()
    }


def _converted(state: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Our state dict; `names` gives the checkpoint's name for each of ours."""
    converted = {name: _shaped(name, value) for name, value in renamed(state, names).items()}
    mapping = {name.removeprefix("mapping."): value for name, value in converted.items() if name.startswith("mapping.")}
    converted["fit_mean"], converted["fit_std"] = fitted(_mapping_of(mapping))
    return converted


def _shaped(name: str, value: Tensor) -> Tensor:
    """A port's tensor as ours of that name: some ports add dimensions of length 1."""
    if name.endswith("bias"):
        return value.flatten() - 1 if name.endswith("style.bias") else value.flatten()  # ours adds the 1 itself
    if name.endswith("conv.weight"):
        return value[0] if value.ndim == 5 else value  # not squeezed: ToRGB's kernel is 1x1
    return value.squeeze()


def _drawn_noises(count: int) -> dict[str, Tensor]:
    """A noise map for each 3x3 convolution: one at the first scale, then two per scale."""
    rng = rng_for("stylegan2", "", SHARED, "noises")
    sides = [4 * 2 ** ((number + 1) // 2) for number in range(count)]
    return {noise_name(number): torch.randn(side, side, generator=rng) for number, side in enumerate(sides)}


def _mapping_of(state: Mapping[str, Tensor]) -> MappingNetwork:
    network = MappingNetwork(state["layers.0.weight"].shape[1], len(state) // 2).to(state["layers.0.weight"].dtype)
    network.load_state_dict(dict(state))
    return network
