"""Measurements saved at equal error: what is read off, what is only a bound, what is missing or refused."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprior.errors import UserError
from reprior.planning.plugins import plugin
from reprior.render.artifacts.savings import FEWER, MORE, REACHED, falling, reached
from reprior.render.report import build
from tests.render.conftest import MadeUp
from tests.render.test_report import Page

M = (20, 50, 100, 200)
GROUPS = {"random A": [f"random-{m}" for m in M], "designed A": [f"designed-{m}" for m in M]}
CASES = [*GROUPS["designed A"], *GROUPS["random A"]]


@pytest.fixture
def study(made_up: MadeUp) -> MadeUp:
    """A made-up study with the error 1/m for random A and 1/(4 m) for designed A."""
    for kind, times in (("random", 1), ("designed", 4)):
        for m in M:
            made_up.add(f"{kind}-{m}", f"Digits, {kind} {m}", {"name": "gaussian", "measurements": m}, ["csgm"])
            error(made_up, f"{kind}-{m}", 1 / (times * m))
    return made_up


def error(study: MadeUp, case: str, value: float) -> None:
    """Set the MSE of every image of a case."""
    for path in (study.folder / case / "csgm").glob("*.csv"):
        lines = [line for line in path.read_text().splitlines() if ",mse," not in line]
        images = [line.split(",")[3] for line in lines if ",psnr," in line]
        lines += [f"made-up,{case},csgm,{image},mse,{value}" for image in images]
        path.write_text("\n".join(lines) + "\n")


def rows(study: MadeUp, **settings: Any) -> dict[str, dict[str, str]]:
    asked = {"cases": CASES, "groups": GROUPS, "methods": ["csgm"], "x": "measurements", **settings}
    out = study.render("savings", "savings", **asked)
    with out.with_name("savings.csv").open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_four_times_less_error_saves_four_times_as_many_measurements(study: MadeUp) -> None:
    found = rows(study)
    assert list(found) == GROUPS["designed A"]  # the first in `cases`
    for case, m in (("designed-20", 20), ("designed-50", 50)):
        assert found[case]["relation"] == REACHED
        assert float(found[case]["x"]) == m
        assert float(found[case]["against_x"]) == pytest.approx(4 * m)
        assert float(found[case]["saving"]) == pytest.approx(4)


def test_there_is_no_extrapolation(study: MadeUp) -> None:
    error(study, "designed-20", 0.9)
    found = rows(study)
    assert (found["designed-20"]["relation"], found["designed-20"]["against_x"]) == (FEWER, "20")
    assert (found["designed-200"]["relation"], found["designed-200"]["against_x"]) == (MORE, "200")
    text = (study.folder / "savings.md").read_text()
    assert r"| \< 20 | \< 1 x |" in text
    assert r"| \> 200 | \> 1 x |" in text and r"| \> 200 | \> 2 x |" in text
    assert "CSGM: 1 of 4 savings are numbers, from 4 to 4 x; 3 bounds, 0 missing." in text


curve = st.lists(st.tuples(st.integers(1, 10**4), st.floats(1e-6, 1e3)), min_size=1, unique_by=lambda point: point[0])


@given(curve, st.floats(1e-6, 1e3))
def test_what_is_read_off_is_numpys_interpolation(points: list[tuple[int, float]], wanted: float) -> None:
    fallen = falling(points)
    ms, errors = np.array(fallen).T
    assert errors == pytest.approx([min(error for other, error in points if other <= m) for m in ms])
    relation, m = reached(fallen, wanted)
    if relation == FEWER:
        assert m == ms[0] and wanted > errors[0]
    elif relation == MORE:
        assert m == ms[-1] and wanted < errors[-1]
    else:
        assert errors[-1] <= wanted <= errors[0]
        assert np.exp(np.interp(np.log(m), np.log(ms), np.log(errors))) == pytest.approx(wanted, rel=1e-4)


def test_the_fewest_measurements_with_an_error_count() -> None:
    assert reached([(10, 1.0), (20, 0.5), (40, 0.5)], 0.5) == (REACHED, pytest.approx(20))
    assert reached([(10, 1.0), (20, 1.0), (40, 0.25)], 1.0) == (REACHED, 10)
    assert reached([(10, 1.0), (40, 0.25)], 0.5) == (REACHED, pytest.approx(20))


def test_more_measurements_never_count_as_worse(study: MadeUp) -> None:
    error(study, "random-100", 0.5)  # an outlier above its neighbours
    assert float(rows(study)["designed-50"]["against_x"]) == pytest.approx(200)


def test_what_is_missing_is_told(study: MadeUp) -> None:
    study.cases["designed-20"]["gap"] = "no matrix"
    study.cases["random-200"]["gap"] = "for its time"
    error(study, "designed-100", 0.0)
    found = rows(study)
    assert (found["designed-20"]["relation"], found["designed-20"]["gap"]) == ("", "no matrix")
    assert "has no logarithm" in found["designed-100"]["gap"]
    assert (found["designed-50"]["relation"], found["designed-50"]["against_x"]) == (MORE, "100")
    assert "Digits, random 200: for its time" in (study.folder / "savings.md").read_text()
    for case in GROUPS["random A"]:
        study.cases[case]["gap"] = "for its time"
    assert rows(study)["designed-50"]["gap"] == "the other group has no numbers"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": {"all": CASES}}, "groups: expected two groups of cases, .* got 1"),
        ({"groups": {"A": CASES[:5]}}, "groups: the case `random-50` of `cases` is in none"),
        ({"metric": "psnr"}, "metric: psnr is not an error; choose .* such as mse"),
        ({"x": "ratio"}, "the operator gaussian of case designed-20 has no number `ratio`"),
    ],
)
def test_what_cannot_be_read_is_refused(study: MadeUp, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"artifact savings: {message}"):
        rows(study, **settings)


def test_two_cases_with_equal_measurements_are_refused(study: MadeUp) -> None:
    study.cases["random-50"]["operator"]["measurements"] = 20
    with pytest.raises(UserError, match="cases random-20 and random-50 of the second group have the same .*, 20; keep"):
        rows(study)


def test_latex_and_the_report_show_the_same_rows(study: MadeUp) -> None:
    rows(study)
    latex = (study.folder / "savings.tex").read_text()
    assert r"Digits, designed 50 & CSGM & 50 & 0.00500 & 200 & 4 x \\" in latex
    assert r"\textgreater{} 200 & \textgreater{} 2 x" in latex
    assert latex.count("{") == latex.count("}")
    build([study.folder / "savings.json"], study.report, "snakemake")
    page = Page(study.report)
    assert "Digits, designed 50 CSGM 50 0.00500 200 4 x" in page.text
    targets = page.all("popovertarget")
    assert any(target.endswith("designed-50-csgm") for target in targets) and set(targets) <= set(page.all("id"))


def test_the_planner_reads_the_settings() -> None:
    kind = plugin("artifact", "savings")
    settings = kind.settings(title="t", cases=CASES, groups=GROUPS, methods=["npgd"]).model_dump()
    assert (settings["metric"], settings["x"]) == ("mse", "ratio")
    assert kind.constants["SUFFIXES"] == (".csv", ".md", ".tex")
