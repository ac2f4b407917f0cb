"""Networks from a spec, and their weights from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.loading import Kind, call
from reprior.machine.files import load_tensors
from reprior.machine.precision import layout
from reprior.types import Precision


def built(kind: Kind, spec: Mapping[str, Any]) -> nn.Module:
    """An untrained network from its spec, such as `{name: began, size: 64}`. Leaves the global random state alone."""
    architecture = {key: value for key, value in spec.items() if key != "weights"}
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = call(kind, architecture, {})
    return network


def trained(
    kind: Kind,
    spec: Mapping[str, Any],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    precision: Precision = "float32",
) -> nn.Module:
    """The network of a spec with the weights of its file `weights`, frozen."""
    network, weights = built(kind, spec), Path(spec["weights"])
    tensors, _ = load_tensors(weights)
    check_fit(network.state_dict(), tensors, weights, kind)
    network.load_state_dict(tensors, assign=True)
    return frozen(network, device, dtype, precision)


def frozen(
    network: nn.Module,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    precision: Precision = "float32",
) -> nn.Module:
    """The network in evaluation mode, without gradients for its weights, in the order that its convolutions like."""
    network.to(device, dtype).to(memory_format=layout(precision, device))
    return network.eval().requires_grad_(False)


def check_fit(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], weights: Path, kind: Kind = "generator"
) -> None:
    """UserError if the weights `found` in the file `weights` are not those that the network expects."""
    for key in (*expected, *found):
        wanted, given = (tuple(t[key].shape) if key in t else "no such tensor" for t in (expected, found))
        if wanted != given:
            raise UserError(
                f"{weights}: does not fit the {kind}; '{key}' should be {wanted} but is {given}. "
                f"Use weights made for these {kind} settings, or change the settings."
            )
