"""The hybrid of a GAN prior and a Deep Decoder: Algorithm 1, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.methods.base import Problem, Reconstruction
from reprior.methods.csgm import csgm
from reprior.methods.deep_decoder import decoder as decoder_of
from reprior.methods.deep_decoder import deep_decoder
from reprior.methods.hybrid import hybrid
from reprior.methods.iagan import iagan
from reprior.operators.identity import Identity
from reprior.optimise.watch import Watch

PRE = 6
CHANNELS = 4


SHAPE = (3, 32, 32)


class Doubled(Generator):
    """A generator of 16 x 16 images, which it doubles in size."""

    image_shape = SHAPE

    def __init__(self, small: Generator) -> None:
        super().__init__()
        self.small = small
        self.latent_shape = small.latent_shape

    def forward(self, z: Tensor) -> Tensor:
        return functional.interpolate(self.small(z), scale_factor=2, mode="nearest")

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        return self.small.draw_latent(rng)


@pytest.fixture
def problem(truth: Any) -> Problem:
    """Images in float64, measured in full."""
    images = functional.interpolate(truth(3).double(), size=SHAPE[1:], mode="bilinear")
    return Problem(images, Identity(SHAPE, torch.Generator()), "s", "c", ("0", "1", "2"))


def begun(result: Reconstruction, watch: Watch) -> Reconstruction:
    """The method's state after the marked steps, as the stage passes it to the next method."""
    state = {key.removeprefix(f"{PRE}."): tensor for key, tensor in watch.marked.items()}
    return Reconstruction(state["kept.x"], state.get("variables.z"), status=result.status, state=state, updates=PRE)


def starts(problem: Problem, generator: Generator) -> tuple[Reconstruction, Reconstruction]:
    """PRE steps of the GAN prior and of the Deep Decoder."""
    gan, dd = (replace(problem, watch=Watch(marks=(PRE,))) for _ in range(2))
    found = csgm(gan, generator, steps=PRE + 3, lr=0.01, keep="last")
    fitted = deep_decoder(dd, steps=PRE + 3, channels=CHANNELS)
    return begun(found, gan.watch), begun(fitted, dd.watch)


@pytest.fixture
def ready(problem: Problem, generator: Generator) -> tuple[Generator, Reconstruction, Reconstruction]:
    doubled = Doubled(generator).double()
    return doubled, *starts(problem, doubled)


def reference(problem: Problem, generator: Generator, steps: int, carried: bool) -> tuple[Tensor, Tensor]:
    """Algorithm 1 in plain PyTorch for the first image alone: H and (alpha, beta) in the last step."""
    one = problem[:1]
    DD, u = decoder_of(one, CHANNELS, 0, "hybrid")
    z = one.draw("start", generator.draw_latent).requires_grad_()
    theta = first_weights(one).requires_grad_()
    adams = [torch.optim.Adam([variable], lr=0.01) for variable in (z, theta)]
    for _ in range(PRE):
        for adam, x in zip(adams, (lambda: generator.image(z), lambda: DD(theta, u)), strict=True):
            adam.zero_grad()
            one.residual(x()).sum().backward()
            adam.step()
    alpha, beta = (torch.full((1,), 0.5, dtype=z.dtype, requires_grad=True) for _ in range(2))
    mixed = torch.optim.Adam([alpha, beta] if carried else [z, theta, alpha, beta], lr=0.01)
    for _ in range(steps - 1):
        for adam in (*adams, mixed):
            adam.zero_grad()
        one.residual(alpha * generator.image(z) + beta * DD(theta, u)).sum().backward()
        for adam in (*adams, mixed) if carried else (mixed,):
            adam.step()
    with torch.no_grad():
        return alpha * generator.image(z) + beta * DD(theta, u), torch.cat([alpha, beta])


def first_weights(problem: Problem) -> Tensor:
    watched = replace(problem, watch=Watch(marks=(0,)))
    deep_decoder(watched, steps=1, channels=CHANNELS)
    return watched.watch.marked["0.variables.theta"]


@pytest.mark.parametrize("adam", ["reset", "carried"])
def test_it_is_algorithm_1(problem: Problem, ready: Any, adam: Any) -> None:
    found = hybrid(problem, *ready, steps=8, channels=CHANNELS, adam=adam)
    H, coefficients = reference(problem, ready[0], 8, carried=adam == "carried")
    torch.testing.assert_close(found.images[:1], H)
    torch.testing.assert_close(torch.stack([found.numbers["alpha"][0], found.numbers["beta"][0]]), coefficients)


def test_it_begins_as_the_mean_of_both(problem: Problem, ready: Any) -> None:
    _, gan, dd = ready
    found = hybrid(problem, *ready, steps=1, channels=CHANNELS)
    torch.testing.assert_close(found.images, 0.5 * gan.images + 0.5 * dd.images)


def test_its_parts_add_up_and_every_image_has_its_own_coefficients(problem: Problem, ready: Any) -> None:
    found = hybrid(problem, *ready, steps=30, channels=CHANNELS)
    torch.testing.assert_close(found.parts["gan"] + found.parts["decoder"], found.images)
    assert found.trace is not None
    torch.testing.assert_close(problem.residual(found.images), found.trace[:, -1])
    assert (found.trace[:, -1] < found.trace[:, 0]).all()
    assert len(set(found.numbers["alpha"].tolist())) == len(set(found.numbers["beta"].tolist())) == 3


def test_an_image_alone_ends_as_in_a_batch(problem: Problem, ready: Any) -> None:
    generator, gan, dd = ready
    together = hybrid(problem, generator, gan, dd, steps=20, channels=CHANNELS)
    rows = slice(1, 2)
    alone = hybrid(problem[rows], generator, gan[rows], dd[rows], steps=20, channels=CHANNELS)
    torch.testing.assert_close(alone.images, together.images[rows], rtol=0, atol=1e-9)
    torch.testing.assert_close(alone.numbers["alpha"], together.numbers["alpha"][rows])


def test_clamped_images_are_clamped_before_they_are_measured(problem: Problem, ready: Any) -> None:
    found = hybrid(problem, *ready, steps=10, channels=CHANNELS, alpha=2.0, clamp=True)
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert found.trace is not None
    torch.testing.assert_close(problem.residual(found.images), found.trace[:, -1])
    assert max(part.max().item() for part in found.parts.values()) > 1


def test_it_counts_what_it_optimises(problem: Problem, ready: Any) -> None:
    watched = replace(problem, watch=Watch())
    hybrid(watched, *ready, steps=1, channels=CHANNELS)
    theta = ready[2].state["variables.theta"].shape[1]
    assert watched.watch.parameters == theta + 6 + 2  # alpha and beta, which the paper leaves out of its count


def test_a_start_that_is_a_result_and_no_state_is_an_error(problem: Problem, ready: Any) -> None:
    generator, gan, dd = ready
    finished = Reconstruction(dd.images, status=dd.status)
    with pytest.raises(UserError, match="`decoder` is not such a step; write `gan: csgm@500`"):
        hybrid(problem, generator, gan, finished, steps=2, channels=CHANNELS)


def test_a_decoder_of_another_size_is_an_error(problem: Problem, ready: Any) -> None:
    with pytest.raises(UserError, match="Deep Decoder of 237 parameters but starts from one of 127"):
        hybrid(problem, *ready, steps=2, channels=CHANNELS + 2)


def test_gan_as_dip_is_iagan_from_the_gan_priors_first_steps(problem: Problem, ready: Any) -> None:
    generator, gan, _ = ready
    watched = replace(problem, watch=Watch(marks=(0,)))
    iagan(watched, generator, gan, steps=2, lr_z=0.01, lr_weights=1e-4, keep="last")
    assert torch.equal(watched.watch.marked["0.variables.z"], gan.state["variables.z"])
