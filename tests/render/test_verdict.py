"""The verdict on our number compared with the paper's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprior.render.context import Reported
from reprior.render.verdict import counted, verdict

numbers = st.floats(0, 50)


@pytest.mark.parametrize(
    ("paper", "word"),
    [("25.00", "agrees"), ("24.60", "agrees"), ("25.41", "worse"), ("24.59", "better"), ("25.4", "agrees")],
)
def test_a_number_agrees_with_what_its_interval_holds(paper: str, word: str) -> None:
    assert verdict("psnr", 25.0, (24.6, 25.4), Reported(paper)) == word


def test_the_papers_last_digit_widens_the_interval() -> None:
    interval = (25.001, 25.004)
    assert verdict("psnr", 25.003, interval, Reported("25.00")) == "agrees"
    assert verdict("psnr", 25.003, interval, Reported("25.000")) == "better"
    assert verdict("psnr", 25.003, interval, Reported("25.01")) == "worse"
    assert verdict("psnr", 25.003, interval, Reported("25")) == "agrees"


@given(numbers, st.floats(0, 1), st.integers(0, 50))
def test_better_and_worse_change_places_with_the_metrics_direction(ours: float, half: float, paper: int) -> None:
    higher, lower = (
        verdict(metric, ours, (ours - half, ours + half), Reported(str(paper))) for metric in ("psnr", "mse")
    )
    assert {higher, lower} in ({"agrees"}, {"better", "worse"})
    if higher != "agrees":
        assert (higher == "better") == (ours > paper)


def test_what_is_not_there_is_not_judged() -> None:
    assert verdict("psnr", None, None, Reported("25.00")) == "not run"
    assert verdict("psnr", 25.0, (24.0, 26.0), Reported()) == ""
    assert verdict("psnr", None, None, Reported()) == ""
    assert verdict("psnr", 25.0, None, Reported("25.00")) == "not judged"
    assert verdict("seconds", 25.0, (24.0, 26.0), Reported("25")) == "not judged"


@pytest.mark.parametrize("ours", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_called_so(ours: float) -> None:
    assert verdict("psnr", ours, None, Reported("25.00")) == "not finite"


def test_verdicts_are_counted() -> None:
    words = ["agrees", "worse", "", "agrees", "not run", "worse", ""]
    assert counted(words) == "2 of 5 numbers agree with the paper's; 2 worse, 1 not run"
    assert counted(["agrees"]) == "1 of 1 numbers agree with the paper's"
    assert counted(["", ""]) == counted([]) == ""
