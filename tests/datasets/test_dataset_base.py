"""Ids, their numbers and seeded choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprior.datasets.base import Array, Dataset, Numbers
from reprior.datasets.faces_drawn import FacesDrawn
from reprior.errors import UserError


class Letters(Dataset):
    image_shape = (3, 1, 1)
    steps = ("made up",)
    names = list("abcdefghijklmnopqrstuvwxyz")

    def load(self, ids: Sequence[str]) -> Array:
        return np.zeros((len(ids), *self.image_shape), np.float32)


def test_ids_are_in_the_data_sets_order() -> None:
    assert Letters().size == 26
    assert Letters().ids(24, 2) == ["y", "z"]
    for use in (Letters().ids, lambda first, count: Letters().chosen(0, first, count)):
        with pytest.raises(UserError, match="Letters has images 0 to 25, but 3 from 24"):
            use(24, 3)


@given(seed=st.integers(0, 2**63), first=st.integers(0, 20), count=st.integers(0, 6))
def test_a_choice_depends_on_the_seed_alone_and_more_images_extend_it(seed: int, first: int, count: int) -> None:
    everything = Letters().chosen(seed, 0, 26)
    assert sorted(everything) == Letters.names
    assert Letters().chosen(seed, first, count) == everything[first : first + count]


def test_a_choice_does_not_depend_on_the_order_of_the_names_and_keeps_its_order_when_some_are_added() -> None:
    class Fewer(Letters):
        names = list("zyxwvu")

    order = Letters().chosen(3, 0, 26)
    assert Fewer().chosen(3, 0, 6) == [name for name in order if name in Fewer.names]


def test_choices_of_different_seeds_differ_and_spread() -> None:
    first = [Letters().chosen(seed, 0, 1)[0] for seed in range(400)]
    counts = [first.count(name) for name in Letters.names]
    assert len(set(first)) == 26 and max(counts) < 40  # 15 expected of each


def test_drawn_images_can_be_chosen() -> None:
    class Few(FacesDrawn):
        names = Numbers(0, 99, digits=6)

    assert FacesDrawn().size == 1_000_000
    assert Few().load(Few().chosen(1, 0, 3)).shape == (3, 3, 64, 64)
    assert Few().chosen(1, 0, 3) != Few().chosen(2, 0, 3)
    assert Few().steps == ("drawn at 64x64",)


def test_numbers_are_a_sequence_of_ids() -> None:
    numbers = Numbers(7, 11, digits=3)
    assert list(numbers) == ["007", "008", "009", "010", "011"] == numbers[:]
    assert (len(numbers), numbers[-1], numbers[1:3]) == (5, "011", ["008", "009"])
    with pytest.raises(IndexError):
        numbers[5]


@pytest.mark.parametrize("name", ["7", "0007", "012", "006", "-07", "٠٠٧", "x", "", "9" * 5000, 7, None])
def test_what_is_no_id_is_not_among_the_numbers(name: object) -> None:
    assert "007" in Numbers(7, 11, digits=3)
    assert name not in Numbers(7, 11, digits=3)
