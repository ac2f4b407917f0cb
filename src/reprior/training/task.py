"""The base of training tasks, and what all share: exact resumption, rates, precision, the moving average.

Every step draws from its own seed, and its learning rates depend only on its number. So k steps are the first k steps
of any longer run, and an interruption changes nothing.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.seeds import rng_for, seed_for
from reprior.training.recipe import Recipe


class Task(ABC):
    """A training in progress.

    A task in `training/tasks/<name>.py` is made as `Task(network, recipe, device, **against)`. `against` are the frozen
    networks to train against, by the names that the recipe gives them. A task defines which networks have an optimiser
    (`players`), what a step does (`advance`), how close a candidate comes to held-out images (`errors`) and what a
    sheet of its images shows (`samples`).
    """

    trains: ClassVar[str]
    """The network's kind of plug-in, `generator` or `network`. It equals the module's `TRAINS`, which a plan reads."""
    NUMBERS: tuple[str, ...] = ("loss",)
    """Names of the numbers recorded in each step. The first is shown as progress."""
    recipe_type: ClassVar[type[Recipe]] = Recipe

    def __init__(self, network: nn.Module, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self.network, self.recipe, self.device = network, recipe, torch.device(device)
        self.step, self.steps = 0, recipe.steps
        self._began = time.monotonic()

    @classmethod
    def read(cls, settings: Mapping[str, object]) -> Recipe:
        """The recipe with every default."""
        return cls.recipe_type.model_validate(dict(settings), strict=True)

    @property
    @abstractmethod
    def players(self) -> Mapping[str, tuple[nn.Module, float]]:
        """The optimised modules by name, each with its learning rate. The network to keep comes first."""

    @abstractmethod
    def advance(self, images: np.ndarray) -> None:
        """One step on a batch of `images` (uint8 [M, C, H, W]). The caller counts the steps."""

    @abstractmethod
    def errors(self, network: nn.Module, images: Tensor) -> Tensor:
        """Mean squared errors [N] on held-out images [N, C, H, W] in [0, 1]. The lowest mean is chosen."""

    @abstractmethod
    def samples(self, network: nn.Module, images: Tensor, count: int) -> Tensor:
        """Images [count, C, H, W] in [0, 1] that show what a candidate does, always from the same draws."""

    def begin(self) -> None:
        """Draw initial weights, move all to the device, make the optimisers. A task calls it in its `__init__`."""
        seed = str(self.recipe.seed)
        for name, (player, _) in self.players.items():
            initialise(player, rng_for("training", "", seed, name), self.draw_weight)
        for module in self.modules().values():
            module.to(self.device).to(memory_format=torch.channels_last)
            module.requires_grad_(True)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.adams = {name: _adam(player, self.recipe) for name, (player, _) in self.players.items()}
        self.numbers = torch.full((self.steps, len(self.NUMBERS)), torch.nan, device=self.device)
        """[steps, K]: the numbers recorded in each step."""

    def modules(self) -> dict[str, nn.Module]:
        """All modules that a checkpoint must hold besides the moving average."""
        return {name: player for name, (player, _) in self.players.items()}

    def draw_weight(self, weight: Tensor, rng: torch.Generator) -> None:
        """Draw the initial value of a weight in place."""
        draw_he(weight, rng)

    @property
    def trace(self) -> Tensor:
        """[steps]: the first of the numbers."""
        return self.numbers[:, 0]

    @property
    def seconds(self) -> float:
        """Time spent so far, including earlier processes."""
        return time.monotonic() - self._began

    def rng(self) -> torch.Generator:
        """The random generator of this step."""
        return rng_for("training", "", str(self.recipe.seed), "step", self.step)

    def dropout_seed(self) -> int:
        """The seed of this step's dropout."""
        return seed_for("training", "", str(self.recipe.seed), "dropout", self.step)

    def drawn(self, images: np.ndarray, rows: Tensor, mirrored: Tensor) -> Tensor:
        """Rows of `images` as a batch in [0, 1]; those of `mirrored` are mirrored if the recipe says so."""
        real = self.moved(torch.from_numpy(images[rows.numpy()])).float() / 255
        if self.recipe.flip:
            real = torch.where(self.moved(mirrored)[:, None, None, None], real.flip(3), real)
        return real

    def moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the device. On CUDA it is pinned first, so that the copy does not block the host."""
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def autocast(self) -> torch.autocast:
        """Autocast to the recipe's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def set_rates(self) -> None:
        """Set the learning rates of this step."""
        for name, (_, lr) in self.players.items():
            self.adams[name].param_groups[0]["lr"] = self.recipe.rate(lr, self.step)

    def descend(self, player: str, loss: Tensor) -> None:
        """One Adam step of a player."""
        self.adams[player].zero_grad()
        loss.backward()
        self.adams[player].step()

    def record(self, numbers: Mapping[str, Tensor]) -> None:
        """Note the numbers of this step, without waiting for the device."""
        self.numbers[self.step] = torch.stack([numbers[name].detach() for name in self.NUMBERS])

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the average towards the network."""
        half_life = self.recipe.average_images
        kept = 0.5 ** (self.recipe.batch / half_life) if half_life else 0.0
        kept = min(kept, (1 + self.step) / (10 + self.step))
        for average, parameter in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(parameter, 1 - kept)
        for kept_buffer, buffer in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept_buffer.copy_(buffer)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name, and the numbers recorded so far."""
        state = {"numbers": self.numbers[: self.step], "seconds": torch.tensor(self.seconds, dtype=torch.float64)}
        for part, module in self._kept().items():
            state |= {f"{part}.{key}": value for key, value in module.state_dict().items()}
        for part, adam in self.adams.items():
            for row, moments in adam.state_dict()["state"].items():
                state |= {f"adam {part}.{row}.{key}": value for key, value in moments.items()}
        return state

    def load(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Continue from the state that `tensors` gave after `step` steps."""
        if step > self.steps:
            raise UserError(
                f"an interrupted training has done {step} steps, but {self.steps} are asked for: "
                "ask for at least as many, or remove its checkpoint to start anew"
            )
        for part, module in self._kept().items():
            module.load_state_dict(_under(state, part))
        for part, adam in self.adams.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(state, f"adam {part}").items():
                row, name = key.split(".")
                moments.setdefault(int(row), {})[name] = _as_adam_keeps_it(value)
            adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
        self.numbers[:step] = state["numbers"].to(self.device)
        self.step, self._began = step, time.monotonic() - state["seconds"].item()

    def _kept(self) -> dict[str, nn.Module]:
        return {**self.modules(), "average": self.average}


def draw_he(weight: Tensor, rng: torch.Generator) -> None:
    """N(0, 2 / fan-in) (He et al. 2015); 1 for a normalisation."""
    if weight.ndim == 1:
        nn.init.ones_(weight)
    else:
        nn.init.kaiming_normal_(weight, generator=rng)


def draw_uniform(weight: Tensor, rng: torch.Generator) -> None:
    """U(-b, b), b = 1 / sqrt(fan in), as PyTorch does it; 1 for a normalisation."""
    if weight.ndim == 1:
        nn.init.ones_(weight)
    else:
        bound = weight[0].numel() ** -0.5
        nn.init.uniform_(weight, -bound, bound, generator=rng)


def initialise(
    module: nn.Module, rng: torch.Generator, draw: Callable[[Tensor, torch.Generator], None] = draw_he
) -> None:
    """Draw the weights of a network with `draw`. Set its biases, and the gamma of an attention, to zero.

    A network with a method `draw_weights(rng)` draws them itself: equalised learning rates belong to its architecture.
    """
    own = getattr(module, "draw_weights", None)
    if callable(own):
        own(rng)
        return
    for name, parameter in module.named_parameters():
        if name.endswith(("bias", "gamma")):
            nn.init.zeros_(parameter)
        else:
            draw(parameter, rng)


def _adam(module: nn.Module, recipe: Recipe) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), betas=(recipe.beta1, recipe.beta2), fused=True)


def _as_adam_keeps_it(value: Tensor) -> Tensor:
    # The fused Adam goes through a weight and its moments in memory order, so all need the same order. A copy, because
    # memory mapped from a file is not aligned, and alignment may change how sums are rounded.
    return value.clone(memory_format=torch.channels_last if value.ndim == 4 else torch.contiguous_format)


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key.removeprefix(part + "."): value for key, value in tensors.items() if key.startswith(part + ".")}
