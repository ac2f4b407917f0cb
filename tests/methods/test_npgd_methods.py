"""NPGD and its relatives, against their algorithms in plain PyTorch in the papers' range [-1, 1]."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from reprior.errors import UserError
from reprior.generators.base import Generator
from reprior.losses import DEFAULT
from reprior.methods.base import Problem, Reconstruction, solve
from reprior.methods.npgd import npgd
from reprior.methods.pgd_gan import pgd_gan
from reprior.methods.plug_and_play import plug_and_play
from reprior.methods.restricted_eigenvalues import RESTORES, restricted_eigenvalues
from reprior.metrics.beside import BESIDE
from reprior.operators.gaussian import Gaussian
from reprior.operators.identity import Identity
from reprior.optimise.watch import Watch

SHAPE = (3, 16, 16)
PIXELS = 3 * 16 * 16


class Inverse(nn.Module):
    """A toy G_dag: one linear layer."""

    image_shape = SHAPE
    latent_shape: tuple[int, ...] = (6,)

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(5)
        self.rows = nn.Parameter(torch.randn(6, PIXELS, generator=rng).to(dtype) / 28, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh((2 * x - 1).flatten(1) @ self.rows.T)


class Linear(Generator):
    """G(z) = W z, in [-1, 1] for small z."""

    latent_shape = (3,)
    image_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.W = torch.randn(PIXELS, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.W.T).unflatten(1, SHAPE)

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        return torch.randn(self.latent_shape, generator=rng)


class Half(nn.Module):
    """A toy denoiser: towards mid-grey by half."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 0.5) / 2


def gaussian(measurements: int) -> Gaussian:
    return Gaussian(SHAPE, torch.Generator().manual_seed(4), measurements=measurements)


@pytest.fixture
def problem(make_problem: Any) -> Problem:
    """Three images in float64, with 200 Gaussian measurements."""
    return make_problem(gaussian(200), count=3, dtype=torch.float64)


@pytest.fixture
def G(generator: Generator) -> Generator:
    return generator.double()


def in_papers_range(problem: Problem) -> tuple[Tensor, Tensor]:
    """A [m, n], and y [N, m] of the same images in [-1, 1]."""
    A = problem.operator.rows  # type: ignore[attr-defined]
    return A, 2 * problem.y - A.sum(1)


def run(method: str, problem: Problem, generator: Generator) -> Reconstruction:
    """A few steps of a method by its name."""
    if method == "npgd":
        return npgd(problem, generator, Inverse(problem.y.dtype), steps=5)
    if method == "plug-and-play":
        return plug_and_play(problem, Half(), steps=5, lr=1.0)
    if method == "pgd-gan":
        return pgd_gan(problem, generator, rounds=2, steps=10)
    return restricted_eigenvalues(problem, generator, steps=10)


METHODS = ["npgd", "plug-and-play", "pgd-gan", "restricted-eigenvalues"]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_npgd_is_algorithm_1_iterate_by_iterate(problem: Problem, G: Generator, steps: int) -> None:
    (A, y), G_dag = in_papers_range(problem), Inverse()
    x = y @ A  # [N, n]
    residuals = []
    for _ in range(steps):
        w = x - 0.3 * (x @ A.T - y) @ A
        z = torch.tanh(w @ G_dag.rows.T)
        x = G(z).flatten(1)
        residuals.append((x @ A.T - y).square().sum(1) / 4)  # distances in [0, 1] are half of those in [-1, 1]
    found = npgd(problem, G, G_dag, steps=steps, lr=0.3)
    torch.testing.assert_close(found.images, (x.unflatten(1, SHAPE) + 1) / 2)
    assert found.latents is not None and found.trace is not None
    torch.testing.assert_close(found.latents, z)
    torch.testing.assert_close(found.trace, torch.stack(residuals, 1))
    assert found.status == ("ok",) * 3


def test_npgd_recovers_an_image_of_the_generator_if_the_projector_is_exact(problem: Problem) -> None:
    G = Linear()
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)

    class Pseudo(Inverse):
        latent_shape = (3,)

        def forward(self, x: Tensor) -> Tensor:
            return (2 * x - 1).flatten(1) @ torch.linalg.pinv(G.W).T

    ours = replace(problem, y=problem.operator.A(G.image(z)))
    found = npgd(ours, G, Pseudo(), steps=100)
    torch.testing.assert_close(found.latents, z)
    torch.testing.assert_close(found.images, G.image(z))
    assert found.trace is not None
    assert found.trace[:, -1].max() < 1e-12 * found.trace[:, 0].min()


@pytest.mark.parametrize("part", ["image_shape", "latent_shape"])
def test_a_projector_of_another_generator_is_an_error(problem: Problem, G: Generator, part: str) -> None:
    other = Inverse()
    setattr(other, part, (7,))
    with pytest.raises(UserError, match=rf"method npgd: {part} of the projector is \(7,\)"):
        npgd(problem, G, other)


def test_a_denoiser_is_no_projector(problem: Problem, G: Generator) -> None:
    with pytest.raises(UserError, match="image_shape of the projector is None"):
        npgd(problem, G, Half())


def test_plug_and_play_without_denoising_is_landweber_iteration(problem: Problem) -> None:
    A, y = in_papers_range(problem)
    step = 1 / torch.linalg.matrix_norm(A, 2).item() ** 2
    x = y @ A
    for _ in range(4):
        x = x + step * (y - x @ A.T) @ A
    found = plug_and_play(problem, nn.Identity(), steps=4, lr=step)
    torch.testing.assert_close(found.images, (x.unflatten(1, SHAPE) + 1) / 2)
    assert found.trace is not None
    assert (found.trace.diff(dim=1) < 0).all()
    torch.testing.assert_close(found.trace[:, -1], problem.residual(found.images))


def test_plug_and_play_chooses_a_step_at_which_it_does_not_diverge(problem: Problem) -> None:
    rows = 5 * problem.operator.rows  # type: ignore[attr-defined]
    larger = replace(problem, y=5 * problem.y, operator=gaussian(200).to("cpu", torch.float64))
    larger.operator.rows = rows  # type: ignore[attr-defined]
    found = plug_and_play(larger, nn.Identity(), steps=50)
    assert found.trace is not None
    assert (found.trace.diff(dim=1) < 0).all()
    assert set(plug_and_play(larger, nn.Identity(), steps=500, lr=1.0).status) == {"diverged"}


def test_plug_and_play_ends_in_its_fixed_point(problem: Problem) -> None:
    # x = (x - A^T (A x - y) + 1/2) / 2 if and only if (I + A^T A) x = A^T y + 1/2.
    A = problem.operator.rows  # type: ignore[attr-defined]
    scaled = replace(problem, y=problem.y / 4, operator=gaussian(200).to("cpu", torch.float64))
    scaled.operator.rows = A / 4  # type: ignore[attr-defined]
    normal = torch.eye(PIXELS, dtype=torch.float64) + A.T @ A / 16
    fixed = torch.linalg.solve(normal, (scaled.y @ A / 4 + 0.5).T).T
    found = plug_and_play(scaled, Half(), steps=60, lr=1.0)
    torch.testing.assert_close(found.images.flatten(1), fixed)


def test_a_network_that_makes_no_images_is_no_denoiser(problem: Problem) -> None:
    with pytest.raises(UserError, match=r"method plug-and-play: the denoiser makes \(6,\) of images of \(3, 16, 16\)"):
        plug_and_play(problem, Inverse())


def reference_pgd_gan(problem: Problem, G: Generator, rounds: int, steps: int) -> tuple[Tensor, Tensor]:
    """Algorithm 1 of PGD-GAN with torch's Adam, for the first image alone: x in [-1, 1] and z."""
    A, y = in_papers_range(problem[:1])
    x = torch.zeros(1, PIXELS, dtype=torch.float64)
    z = problem[:1].draw("start", G.draw_latent).requires_grad_()
    for _ in range(rounds):
        w = x + 0.5 * (y - x @ A.T) @ A
        adam = torch.optim.Adam([z], lr=0.1)
        for _ in range(steps):
            adam.zero_grad()
            ((G(z).flatten(1) - w).square().mean() + 0.001 * z.square().sum()).backward()
            adam.step()
        x = G(z).flatten(1).detach()
    return x, z.detach()


@pytest.mark.parametrize(("rounds", "steps"), [(1, 1), (1, 6), (3, 6)])
def test_pgd_gan_is_algorithm_1_with_the_released_inner_loop(
    problem: Problem, G: Generator, rounds: int, steps: int
) -> None:
    found = pgd_gan(problem, G, rounds=rounds, steps=steps)
    x, z = reference_pgd_gan(problem, G, rounds, steps)
    torch.testing.assert_close(found.images[:1], (x.unflatten(1, SHAPE) + 1) / 2)
    assert found.latents is not None and found.trace is not None
    torch.testing.assert_close(found.latents[:1], z)
    torch.testing.assert_close(found.images, G.image(found.latents))
    assert found.trace.shape == (3, rounds * (steps + 1))


def test_pgd_gan_keeps_the_restart_of_the_lowest_residual(problem: Problem, G: Generator) -> None:
    every = pgd_gan(problem.repeated(3), G, rounds=2, steps=5)
    assert every.loss is not None
    torch.testing.assert_close(every.loss, problem.repeated(3).residual(every.images))
    best = solve(pgd_gan, problem, G, rounds=2, steps=5, restarts=3)
    torch.testing.assert_close(best.loss, every.loss.view(3, 3).min(1).values)
    assert len(set(every.loss.tolist())) == 9


def test_pgd_gan_has_its_own_loss_and_says_so(problem: Problem, G: Generator) -> None:
    other = [{"name": "squared-error", "weight": 2.0}]
    assert problem.losses is DEFAULT
    solve(pgd_gan, problem, G, rounds=1, steps=1)
    with pytest.raises(UserError, match="this method has a loss of its own; remove `loss`"):
        solve(pgd_gan, replace(problem, losses=other), G, rounds=1, steps=1)


def test_pgd_gan_cut_short_and_resumed_ends_as_if_undisturbed(
    make_problem: Any, generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run("pgd-gan", make_problem(), generator)
    watched = replace(make_problem(), watch=Watch(checkpoint=tmp_path / "c", every_seconds=0))
    image, calls = generator.image, iter(range(17))  # in the second round

    def failing(z: Tensor) -> Tensor:
        next(calls)
        return image(z)

    with monkeypatch.context() as patch:
        patch.setattr(generator, "image", failing)
        with pytest.raises(StopIteration):
            run("pgd-gan", watched, generator)
    resumed = run("pgd-gan", replace(watched, watch=Watch(checkpoint=tmp_path / "c")), generator)
    assert torch.equal(resumed.images, undisturbed.images)
    assert undisturbed.trace is not None and resumed.trace is not None
    assert torch.equal(resumed.trace, undisturbed.trace)


def test_restricted_eigenvalues_of_the_identity_are_one(make_problem: Any, generator: Generator) -> None:
    found = restricted_eigenvalues(make_problem(Identity(SHAPE, torch.Generator())), generator, steps=5)
    assert found.numbers["rec-alpha"].tolist() == found.numbers["rec-beta"].tolist() == [1.0] * 4
    assert found.status == ("ok",) * 4
    assert not RESTORES


def test_restricted_eigenvalues_of_a_linear_generator_are_generalised_eigenvalues(problem: Problem) -> None:
    # r = v^T (A W)^T (A W) v / v^T W^T W v with v = z1 - z2.
    G, A = Linear(), problem.operator.rows  # type: ignore[attr-defined]
    AW = A @ G.W
    eigenvalues = scipy.linalg.eigh(AW.T @ AW, G.W.T @ G.W, eigvals_only=True)
    found = restricted_eigenvalues(problem, G)
    alpha, beta = found.numbers["rec-alpha"].numpy(), found.numbers["rec-beta"].numpy()
    assert alpha == pytest.approx(eigenvalues[0], rel=1e-4) and (alpha >= eigenvalues[0] * (1 - 1e-12)).all()
    assert beta == pytest.approx(eigenvalues[-1], rel=1e-4) and (beta <= eigenvalues[-1] * (1 + 1e-12)).all()


def test_restricted_eigenvalues_are_the_extremes_of_both_optimisations(problem: Problem, G: Generator) -> None:
    found = restricted_eigenvalues(problem, G, steps=20)
    z1, z2 = (problem.draw(name, G.draw_latent) for name in ("z1", "z2"))
    d = G(z1) - G(z2)
    first = problem.operator.A(d).square().sum(1) / d.square().flatten(1).sum(1)
    assert found.trace is not None
    down, up = found.trace.split(20, 1)
    torch.testing.assert_close(torch.stack([down[:, 0], up[:, 0]]), torch.stack([first, first]))
    torch.testing.assert_close(found.numbers["rec-alpha"], down.min(1).values)
    torch.testing.assert_close(found.numbers["rec-beta"], up.max(1).values)
    assert (found.numbers["rec-alpha"] < first).all() and (first < found.numbers["rec-beta"]).all()
    assert found.numbers.keys() <= BESIDE.keys()
    assert found.images.shape == (3, *SHAPE)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_alone_ends_as_in_a_batch(problem: Problem, G: Generator, method: str) -> None:
    together, alone = run(method, problem, G), run(method, problem[1:2], G)
    torch.testing.assert_close(alone.images, together.images[1:2], rtol=0, atol=1e-9)
    assert alone.trace is not None and together.trace is not None
    torch.testing.assert_close(alone.trace, together.trace[1:2])
    for name, values in alone.numbers.items():
        torch.testing.assert_close(values, together.numbers[name][1:2])


@pytest.mark.parametrize("method", ["npgd", "plug-and-play", "pgd-gan"])
def test_an_image_that_is_not_finite_disturbs_no_other(problem: Problem, G: Generator, method: str) -> None:
    y = problem.y.clone()
    y[1] = torch.nan
    hurt, whole = run(method, replace(problem, y=y), G), run(method, problem, G)
    assert hurt.status == ("ok", "diverged", "ok")
    torch.testing.assert_close(hurt.images[::2], whole.images[::2])


def test_a_row_that_diverges_keeps_its_last_finite_iterate(problem: Problem) -> None:
    first, third = (plug_and_play(problem, nn.Identity(), steps=steps, lr=1e140) for steps in (1, 3))
    assert (first.status, third.status) == (("ok",) * 3, ("diverged",) * 3)
    assert torch.equal(third.images, first.images)
