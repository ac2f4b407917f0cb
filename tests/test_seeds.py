"""Seeds depend only on what is drawn."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from reprior.seeds import rng_for, seed_for


def test_a_seed_is_the_same_in_every_process_and_version() -> None:
    assert seed_for("iagan", "sr", "000001", "noise") == 4687384025530434426


@given(st.lists(st.text(max_size=8), min_size=4, max_size=4), st.integers(0, 100))
def test_seeds_are_valid_for_torch(words: list[str], restart: int) -> None:
    assert 0 <= seed_for(*words, restart) < 2**63


def test_every_part_of_the_key_makes_another_seed() -> None:
    keys = list(product(("a", "b"), ("a", "b"), ("a", "b"), ("a", "b"), (0, 1)))
    assert len({seed_for(*key) for key in keys}) == len(keys)


def test_parts_of_the_key_do_not_run_together() -> None:
    assert seed_for("a", "bc", "d", "e") != seed_for("ab", "c", "d", "e")


def test_the_same_key_draws_the_same() -> None:
    import torch

    first, second = (torch.randn(3, generator=rng_for("s", "c", "i", "noise")) for _ in range(2))
    assert first.equal(second)
