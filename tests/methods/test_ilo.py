"""ILO against its rounds in plain PyTorch, and what its settings promise."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.generators.base import Generator, build_generator
from reprior.methods.base import Problem, solve
from reprior.methods.csgm import csgm
from reprior.methods.ilo import ilo
from reprior.operators.gaussian import Gaussian
from reprior.operators.identity import Identity
from reprior.optimise.geocross import geocross
from reprior.optimise.watch import Watch

SPECS = {
    "stylegan2": {"name": "stylegan2", "size": 32, "channels": 1, "widest": 6, "latent": 5, "styles": "gaussian"},
    "began": {"name": "began", "size": 64, "channels": 3, "latent": 4},
}


def made(name: str) -> Generator:
    generator = build_generator(SPECS[name]).double()
    rng = torch.Generator().manual_seed(1)
    for tensor in (*generator.parameters(), *generator.buffers()):
        tensor.data = 0.3 * torch.randn(tensor.shape, generator=rng, dtype=torch.float64)
    if name == "stylegan2":
        for tensor in (generator.fit_std, *(conv.strength for conv in generator.convs)):
            tensor.data.fill_(1.0)
        for conv in generator.convs:
            conv.conv.weight.data *= 3
    return generator.requires_grad_(False)


def problem_of(generator: Generator, count: int = 2) -> Problem:
    operator = Gaussian(generator.image_shape, torch.Generator().manual_seed(2), measurements=60)
    operator = operator.to(torch.device("cpu"), torch.float64)
    ids = tuple(f"image-{row}" for row in range(count))
    x = torch.rand(count, *generator.image_shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return Problem(y=operator.A(x), operator=operator, study="test", case="ilo", ids=ids)


def rate(step: int, steps: int) -> float:
    t = step / steps
    return min(1, t / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.75)))


def of_released_view(x: Tensor, y: Tensor) -> Tensor:
    """An image as the released code compares it: through its filter of "factor 1", and black where y is black."""
    taps = (-0.0625, 0.5625, 0.5625, -0.0625)
    rows = torch.cat([x[:, :, 1:2], x, x[:, :, -2:-1], x[:, :, -3:-2]], 2)
    x = sum(tap * rows[:, :, k : k + x.shape[2]] for k, tap in enumerate(taps))
    columns = torch.cat([x[..., 1:2], x, x[..., -2:-1], x[..., -3:-2]], 3)
    x = sum(tap * columns[..., k : k + x.shape[3]] for k, tap in enumerate(taps))
    return torch.where((y == 0).all(1, keepdim=True), 0.0, x)


def released(generator: Generator, problem: Problem, steps: list[int], cross: float = 0.0) -> Tensor:
    """The released loop on StyleGAN2 in plain PyTorch: last iterates, spheres, no RGB of lower scales.

    With `cross`, the rest of it: the penalty in the first round, a filter, and black pixels that count as missing.
    """
    shapes = generator.extra_inputs()
    state = {"z": problem.draw("start", generator.draw_latent)}
    for name, shape in shapes.items():
        state[name] = problem.draw(name, lambda rng, shape=shape: torch.randn(shape, generator=rng))
    rounds: list[tuple[str, int]] = [("", 5), ("4", 7), ("8", 9), ("16", 11)]
    best = torch.empty(0)
    for number, (layer, open_noises) in enumerate(rounds):
        if number:
            state = generator.features_from(state, rounds[number - 1][0], layer)
        state.pop("rgb", None)
        names = ["z", *(f"noise_{k}" for k in range(open_noises) if f"noise_{k}" in state), *(["h"] if number else [])]
        free = {name: state[name].clone().requires_grad_() for name in names}
        norms = {n: v.flatten(2 if n == "z" else 1).norm(dim=-1) for n, v in free.items() if n != "h"}
        adam, lowest = torch.optim.Adam(free.values(), lr=0.1), torch.full((len(problem),), math.inf).double()
        best = torch.zeros(len(problem), *generator.image_shape).double()
        for step in range(steps[number]):
            x = generator.image_from({**state, **free}, layer)
            seen = of_released_view(x, problem.y) if cross else x
            loss = (problem.operator.A(seen) - problem.y).square().flatten(1).sum(1)
            if number == 0:
                loss = loss + cross * geocross(free["z"])
            better = loss < lowest
            lowest, best = torch.where(better, loss, lowest), torch.where(better[:, None, None, None], x, best).detach()
            state |= {name: value.detach().clone() for name, value in free.items()}
            adam.zero_grad()
            loss.sum().backward()
            adam.param_groups[0]["lr"] = 0.1 * rate(step, steps[number])
            adam.step()
            with torch.no_grad():
                for name, norm in norms.items():
                    value = free[name]
                    value *= (norm / value.flatten(2 if name == "z" else 1).norm(dim=-1)).view(
                        *norm.shape, *[1] * (value.ndim - norm.ndim)
                    )
    return best


def test_released_settings_are_the_released_loop() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    found = ilo(problem, generator, steps=12, rgb="dropped", carry="last")
    torch.testing.assert_close(found.images, released(generator, problem, [12] * 4), rtol=1e-6, atol=1e-7)
    assert found.trace is not None and found.trace.shape == (2, 48)


def test_every_quirk_of_the_released_loop_together() -> None:
    generator = made("stylegan2")
    y = torch.rand(2, *generator.image_shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y[:, :, 5:9] = 0
    problem = replace(problem_of(generator), y=y, operator=Identity(generator.image_shape, torch.Generator()))
    quirks: dict[str, Any] = {"rgb": "dropped", "carry": "last", "cross_rounds": "first"}
    quirks |= {"view": "released", "black": "missing", "shares": [1.0, 1.0, 0.5, 0.5]}
    found = ilo(problem, generator, steps=8, cross=0.5, **quirks)
    torch.testing.assert_close(found.images, released(generator, problem, [8, 8, 4, 4], 0.5), rtol=1e-6, atol=1e-7)
    assert found.trace is not None and found.trace.shape == (2, 24)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("carry", ["best", "last"])
def test_the_kept_features_give_the_kept_image(name: str, carry: Any) -> None:
    generator = made(name)
    found = ilo(problem_of(generator), generator, steps=7, carry=carry)
    layer = next(iter(found.features)).partition(".")[0]
    features = {key.partition(".")[2]: value for key, value in found.features.items()}
    torch.testing.assert_close(generator.image_from(features, layer), found.images, rtol=0, atol=1e-12)


def test_without_layers_it_is_the_first_round_alone() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    latent, whole = ilo(problem, generator, layers=[], steps=9), ilo(problem, generator, steps=9)
    assert latent.trace is not None and whole.trace is not None
    assert torch.equal(latent.trace, whole.trace[:, :9])


def test_shares_are_one_for_each_round() -> None:
    generator = made("began")
    with pytest.raises(UserError, match="method ilo: shares: 3 shares for 4 rounds; name one for each round"):
        ilo(problem_of(generator), generator, shares=[1.0, 1.0, 0.5], steps=2)


@pytest.mark.parametrize("name", SPECS)
def test_an_image_alone_ends_as_in_a_batch(name: str) -> None:
    generator = made(name)
    problem = problem_of(generator, 3)
    together = ilo(problem, generator, steps=8, radii=[0.04, 0.04, 0.04])
    alone = ilo(problem[1:2], generator, steps=8, radii=[0.04, 0.04, 0.04])
    torch.testing.assert_close(alone.images, together.images[1:2], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", SPECS)
def test_no_round_begins_above_the_best_of_the_one_before(name: str) -> None:
    generator = made(name)
    trace = ilo(problem_of(generator), generator, steps=15).trace
    assert trace is not None
    rounds = trace.unflatten(1, (-1, 15))
    torch.testing.assert_close(rounds[:, 1:, 0], rounds[:, :-1].min(2).values, rtol=1e-9, atol=1e-9)


def test_it_fits_the_measurements_better_than_the_latent_alone() -> None:
    generator = made("began")
    problem = problem_of(generator)
    alone = csgm(problem, generator, steps=120)
    layered = ilo(problem, generator, steps=30)
    assert alone.loss is not None and layered.loss is not None
    assert (layered.loss < 0.5 * alone.loss).all()


def test_features_stay_in_their_l1_ball_and_latents_on_their_spheres(monkeypatch: pytest.MonkeyPatch) -> None:
    from reprior.methods import ilo as module

    rounds: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    plain = module.minimise

    def watched(f: Any, start: dict[str, Tensor], **settings: Any) -> Any:
        found = plain(f, start, **settings)
        rounds.append((start, found.kept))
        return found

    monkeypatch.setattr(module, "minimise", watched)
    generator = made("stylegan2")
    radii = [0.02, 0.03, 0.04]
    ilo(problem_of(generator), generator, steps=10, radii=radii, carry="last")
    assert len(rounds) == 4
    for number, (start, end) in enumerate(rounds):
        assert ("h" in start) == (number > 0)
        torch.testing.assert_close(end["z"].norm(dim=2), start["z"].norm(dim=2))
        for name in start:
            if name.startswith("noise"):
                torch.testing.assert_close(end[name].flatten(1).norm(dim=1), start[name].flatten(1).norm(dim=1))
        if number:
            moved = (end["h"] - start["h"]).abs().flatten(1).sum(1)
            radius = radii[number - 1] * math.prod(generator.image_shape) ** 0.5
            assert (moved <= radius + 1e-9).all() and (moved > 0.1 * radius).all()


def test_steps_to_the_range_bring_features_back_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from reprior.methods import ilo as module

    begun: list[dict[str, Tensor]] = []
    plain = module.minimise

    def watched(f: Any, start: dict[str, Tensor], **settings: Any) -> Any:
        begun.append(start)
        return plain(f, start, **settings)

    monkeypatch.setattr(module, "minimise", watched)
    generator = made("began")
    found = ilo(problem_of(generator), generator, layers=["8", "8"], steps=10, range_share=2.5)
    _, first, to_range, second = begun
    assert set(to_range) == {"z"} and found.latents is not None
    torch.testing.assert_close(second["h"], generator.features(found.latents, "8")["h"])
    assert not torch.equal(first["h"], second["h"])


def test_layers_must_be_the_generators_from_coarse_to_fine() -> None:
    generator = made("began")
    for layers in (["16", "8"], ["7"]):
        with pytest.raises(UserError, match=r"method ilo: layers: .*it has 8, 16, 32, 64"):
            ilo(problem_of(generator), generator, layers=layers, steps=2)


def test_restarts_and_an_interruption_change_nothing(tmp_path: Path) -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    whole = solve(ilo, problem, generator, restarts=2, steps=6)

    class StopError(Exception):
        pass

    calls = 0
    plain = generator.image_from

    def stopping(features: dict[str, Tensor], layer: str) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 15:  # in the third round
            raise StopError
        return plain(features, layer)

    def watch() -> Watch:
        return Watch("ilo", tmp_path / "checkpoint", 0.0, "same")

    generator.image_from = stopping  # type: ignore[method-assign]
    with pytest.raises(StopError):
        solve(ilo, replace(problem, watch=watch()), generator, restarts=2, steps=6)
    again = solve(ilo, replace(problem, watch=watch()), generator, restarts=2, steps=6)
    assert torch.equal(again.images, whole.images)
    assert 20 < calls < 40  # the first two rounds are not done again


def test_a_penalty_on_pairs_of_vectors_needs_several() -> None:
    generator = made("began")
    with pytest.raises(UserError, match="method ilo: cross: the generator has one latent vector"):
        ilo(problem_of(generator), generator, cross=0.01, steps=2)


def test_radii_are_one_for_each_layer() -> None:
    generator = made("began")
    with pytest.raises(UserError, match="radii: 2 radii for 3 layers"):
        ilo(problem_of(generator), generator, radii=[1.0, 2.0], steps=2)


def test_the_penalty_is_on_vectors_that_later_layers_see_and_released_in_the_first_round_alone() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    without, every, first = (
        ilo(problem, generator, steps=1, cross=cross, cross_rounds=rounds).trace
        for cross, rounds in ((0.0, "all"), (2.0, "all"), (2.0, "first"))
    )
    assert without is not None and every is not None and first is not None
    z = problem.draw("start", generator.draw_latent)
    expected = torch.stack([2 * geocross(z[:, unused:]) for unused in (0, 1, 3, 5)], 1)  # [N, rounds]
    torch.testing.assert_close(every - without, expected)
    torch.testing.assert_close(first - without, expected * torch.tensor([1.0, 0, 0, 0]))


def test_vectors_before_a_layer_change_nothing_after_it() -> None:
    generator = made("stylegan2")
    problem = problem_of(generator)
    features = generator.features(problem.draw("start", generator.draw_latent), "8")
    unused = generator.styles_before("8")
    image = generator.image_from(features, "8")
    for vector in range(features["z"].shape[1]):
        z = features["z"].clone()
        z[:, vector] += 1
        assert torch.equal(generator.image_from({**features, "z": z}, "8"), image) == (vector < unused)
