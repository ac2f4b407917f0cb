"""Claims: the verdict, the number that decides it, and the remarks on it."""

from __future__ import annotations

import csv
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprior.machine.files import read_json
from reprior.metrics.averaging import average, difference_interval, ratio_interval
from reprior.render.artifacts.claims import claims
from reprior.render.context import Cell, Context
from reprior.render.report import build
from tests.render.conftest import MadeUp
from tests.render.test_report import Page

GAUSSIAN = ["gaussian-0.05", "gaussian-0.2", "gaussian-0.6"]
METHODS = ["bicubic", "csgm", "csgm-bp", "iagan"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """A study of which only the spec is used."""
    return MadeUp(tmp_path_factory.mktemp("claims"))


def claim(**given: Any) -> dict[str, Any]:
    """A claim as a plan spells it out: IAGAN is better than CSGM, unless `given` says otherwise."""
    bounds = {"above": None, "below": None} if {"above", "below"} & given.keys() else {"above": 0.0, "below": None}
    text = {"name": "better", "text": "It is clearly <better>", "where": "abstract", "note": "our choice"}
    what = {"metric": "psnr", "methods": [["iagan", "csgm"]], "cases": [["sr-x4", "sr-x4"]], "scope": "every"}
    return {**text, **what, "compare": "difference", **bounds, **given}


def same(*cases: str) -> list[list[str]]:
    return [[case, case] for case in cases]


def judged(study: Any, *wanted: dict[str, Any]) -> Path:
    """Render these claims."""
    cases = dict.fromkeys(case for each in wanted for sides in each["cases"] for case in sides)
    return study.render("claims", "claims", cases=list(cases), methods=METHODS, claims=list(wanted))


def row(study: Any, **given: Any) -> dict[str, str]:
    with judged(study, claim(**given)).with_name("claims.csv").open(newline="") as file:
        return next(csv.DictReader(file))


def entry(study: Any, **given: Any) -> dict[str, Any]:
    return read_json(judged(study, claim(**given)).with_name("claims.json"))["claims"]["entries"][0]


def change(study: Any, case: str, method: str, old: str, new: str) -> None:
    path = study.folder / case / method / "0000-0001.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


numbers = st.lists(st.floats(0.0, 30.0) | st.just(math.nan), min_size=1, max_size=4)
bound = st.none() | st.floats(-5, 5)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_verdict_is_that_of_a_plain_recomputation(study: MadeUp, data: Any) -> None:
    scope, metric = (
        data.draw(st.sampled_from(["every", "some", "median"])),
        data.draw(st.sampled_from(["psnr", "ssim"])),
    )
    bounds = st.tuples(bound, bound).filter(lambda ends: ends != (None, None))
    above, below = data.draw(bounds.filter(lambda ends: None in ends or ends[0] < ends[1]))
    found = {(case, method): data.draw(numbers) for case in GAUSSIAN for method in ("iagan", "csgm")}
    spec = study.spec("claims", "claims", cases=GAUSSIAN, methods=["iagan", "csgm"])
    context = Context(spec, study.reported, study.folder / "claims")
    context._cells = {key: Cell({metric: dict(enumerate(each))}, []) for key, each in found.items()}
    wanted = claim(metric=metric, cases=same(*GAUSSIAN), scope=scope, above=above, below=below)
    claims(context, title="Claims", cases=GAUSSIAN, methods=["iagan", "csgm"], claims=[wanted])
    with context.path(".csv").open(newline="") as file:
        told = next(csv.DictReader(file))

    differences = [average(metric, found[case, "iagan"]) - average(metric, found[case, "csgm"]) for case in GAUSSIAN]

    def kept(difference: float) -> bool:
        return (above is None or difference > above) and (below is None or difference < below)

    if scope == "median":
        holds = not any(map(math.isnan, differences)) and kept(statistics.median(differences))
    else:
        holds = (all if scope == "every" else any)(map(kept, differences))
    assert told["verdict"] == ("holds" if holds else "fails")
    assert told["satisfied"] == str(sum(map(kept, differences)))
    if scope != "median":
        deciding = differences[GAUSSIAN.index(told["case"])]
        assert float(told["number"]) == pytest.approx(deciding, nan_ok=True, abs=1e-8)
        assert kept(deciding) == holds


def test_every_is_decided_by_the_worst_comparison_and_some_by_the_best(made_up: Any) -> None:
    asked = {"methods": [["iagan", "csgm"], ["iagan", "csgm-bp"]], "above": 5.0}
    worst, best = row(made_up, **asked), row(made_up, **asked, scope="some")
    assert (worst["verdict"], worst["against"], float(worst["number"])) == ("fails", "csgm-bp", pytest.approx(3.5))
    assert (best["verdict"], best["against"], float(best["number"])) == ("holds", "csgm", pytest.approx(6.0))
    assert (worst["in"], worst["bound"]) == ("every", "> 5")
    for each in (worst, best):
        assert (each["satisfied"], each["computed"], each["pairs"], each["case"]) == ("1", "2", "2", "sr-x4")


def test_both_bounds_hold_for_the_median(made_up: Any) -> None:
    three = {"methods": [["csgm", "csgm"]], "cases": [[case, GAUSSIAN[0]] for case in (*GAUSSIAN[1:], "sr-x4")]}
    wide = row(made_up, **three, scope="median", above=0.5, below=1.5)
    assert (wide["verdict"], float(wide["number"]), wide["satisfied"]) == ("holds", pytest.approx(0.9), "1")
    assert (wide["case"], wide["low"]) == ("", "")  # no one comparison decides
    assert row(made_up, **three, scope="median", above=1.0, below=1.5)["verdict"] == "fails"


def test_a_method_is_held_against_itself_in_another_case(made_up: Any) -> None:
    told = entry(made_up, methods=[["csgm", "csgm"]], cases=[["gaussian-0.6", "gaussian-0.05"]], above=3.0)
    assert (told["verdict"], told["number"], told["kept"]) == ("holds", "+3.30", "")
    assert [side["case"] for side in told["sides"]] == ["gaussian-0.6", "gaussian-0.05"]
    assert told["asked"] == "PSNR [dB], CSGM, the first case less the other: > 3"


def test_what_was_not_computed_is_counted_with_its_reason(made_up: Any) -> None:
    asked = {"cases": same("sr-x4", "no-weights", "fourier-30"), "methods": [["iagan", "csgm-bp"]]}
    told = row(made_up, **asked)
    assert (told["verdict"], told["satisfied"], told["computed"], told["pairs"]) == ("holds", "1", "1", "3")
    assert "1 of 3 comparisons not computed: no public weights of pggan" in told["remark"]
    assert "1 of 3 comparisons not computed: not part of this case" in told["remark"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"cases": [["no-weights", "no-weights"]]}, "no public weights of pggan"),
        ({"metric": "lpips-alex"}, "needs the file alexnet"),
        ({"metric": "alpha"}, "alpha was not computed"),
    ],
)
def test_a_claim_without_a_number_is_not_run(made_up: Any, given: dict[str, Any], reason: str) -> None:
    told = row(made_up, **given)
    assert (told["verdict"], told["number"], told["low"], told["computed"]) == ("not run", "", "", "0")
    assert reason in told["remark"]


def test_a_claim_against_a_method_that_is_a_gap_is_not_run(made_up: Any) -> None:
    del made_up.cases["sr-x4"]["methods"]["csgm"]
    made_up.cases["sr-x4"]["gaps"]["csgm"] = "the package is not installed"
    told = row(made_up)
    assert (told["verdict"], told["computed"]) == ("not run", "0")
    assert told["remark"] == "1 of 1 comparisons not computed: the package is not installed"


def test_a_nan_keeps_no_bound_and_is_named(made_up: Any) -> None:
    change(made_up, "sr-x4", "csgm", "psnr,19.0", "psnr,nan")
    asked = {"cases": same("sr-x4", *GAUSSIAN)}
    told = row(made_up, **asked)
    assert (told["verdict"], told["number"], told["low"], told["satisfied"]) == ("fails", "nan", "", "3")
    assert "not a number: IAGAN on Faces, SR ×4 less CSGM on Faces, SR ×4" in told["remark"]
    assert row(made_up, **asked, scope="some")["verdict"] == "holds"
    assert row(made_up, **asked, scope="median")["verdict"] == "fails"


def test_images_that_diverged_are_told(made_up: Any) -> None:
    assert "IAGAN on Faces, SR ×4: 1 of 4 images diverged" in row(made_up)["remark"]


def test_the_same_images_are_drawn_together_whatever_their_order(made_up: Any) -> None:
    told = row(made_up)
    assert [float(told["low"]), float(told["high"])] == pytest.approx([6.0, 6.0])  # each image differs by 6 dB
    path = made_up.folder / "sr-x4/csgm/0000-0001.csv"
    heading, *lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([heading, *reversed(lines)]))
    assert row(made_up) == told


def test_other_images_are_drawn_independently(made_up: Any) -> None:
    for path in (made_up.folder / "sr-x4/csgm").glob("*.csv"):
        path.write_text(path.read_text().replace("face-", "other-"))
    told = row(made_up)
    assert float(told["low"]) < 5.5 < 6.5 < float(told["high"])
    assert [float(told["low"]), float(told["high"])] == pytest.approx(
        difference_interval("psnr", [25.0, 26, 27, 28], [19.0, 20, 21, 22], paired=False)
    )


def test_a_bound_within_the_interval_makes_it_narrow_and_changes_no_verdict(made_up: Any) -> None:
    change(made_up, "sr-x4", "csgm", "psnr,19.0", "psnr,24.0")
    average_difference = float(row(made_up)["number"])
    close = row(made_up, above=average_difference - 0.01)
    assert close["verdict"] == "holds" and "narrow: the bound lies within the interval" in close["remark"]
    assert row(made_up, above=average_difference + 0.01)["verdict"] == "fails"
    assert "narrow" not in row(made_up, above=-9.0)["remark"]


def test_run_times_are_compared_without_an_interval(made_up: Any) -> None:
    told = row(made_up, metric="seconds", above=-1.0)
    assert (told["verdict"], float(told["number"]), told["low"]) == ("holds", 0.0, "")


def slower(study: Any, case: str, method: str, times: float) -> None:
    """Let the images of a method take so many times as long."""
    for path in (study.folder / case / method).glob("*.csv"):
        path.write_text(path.read_text().replace("seconds,1.5", f"seconds,{1.5 * times}"))


def test_a_ratio_of_run_times_says_how_many_times_faster(made_up: Any) -> None:
    slower(made_up, "sr-x4", "csgm", 32.5)
    asked = {"metric": "seconds", "methods": [["csgm", "iagan"]], "compare": "ratio"}
    told = row(made_up, **asked, above=30, below=40)
    assert (told["verdict"], told["compare"], float(told["number"]), told["low"]) == ("holds", "ratio", 32.5, "")
    assert row(made_up, **asked, above=40)["verdict"] == "fails"
    shown = entry(made_up, **asked, above=30, below=40)
    assert (shown["number"], shown["interval"], shown["word"]) == ("32.5 x", "", "divided by")
    assert shown["asked"] == "seconds per image, CSGM divided by IAGAN: > 30 and < 40"


def test_of_several_ratios_the_worst_decides(made_up: Any) -> None:
    for case, times in zip(GAUSSIAN, [8.0, 2.0, 4.0], strict=True):
        slower(made_up, case, "csgm", times)
    asked = {"metric": "seconds", "methods": [["csgm", "iagan"]], "cases": same(*GAUSSIAN), "compare": "ratio"}
    worst = row(made_up, **asked, above=3.0)
    assert (worst["verdict"], worst["case"], worst["satisfied"], float(worst["number"])) == (
        *("fails", GAUSSIAN[1], "2"),
        pytest.approx(2.0),
    )
    assert float(row(made_up, **asked, above=3.0, scope="median")["number"]) == pytest.approx(4.0)


def test_a_ratio_has_the_bootstrap_interval_of_ratios(made_up: Any) -> None:
    told = row(made_up, metric="mse", compare="ratio", below=1.0)
    left, right = ([10 ** (-(level + i) / 10) for i in range(4)] for level in (25, 19))
    assert [float(told["low"]), float(told["high"])] == pytest.approx(ratio_interval("mse", left, right, paired=True))
    assert float(told["number"]) == pytest.approx(10**-0.6)


@pytest.mark.parametrize("right", ["0", "nan"])
def test_a_ratio_to_zero_or_to_no_number_does_not_hold(made_up: Any, right: str) -> None:
    for path in (made_up.folder / "sr-x4/iagan").glob("*.csv"):
        path.write_text(path.read_text().replace("seconds,1.5", f"seconds,{right}"))
    asked = {"metric": "seconds", "methods": [["csgm", "iagan"]], "compare": "ratio"}
    for bounds in ({"above": 1.0}, {"below": 1.0}):
        told = row(made_up, **asked, **bounds)
        assert (told["verdict"], told["number"], told["satisfied"]) == ("fails", "nan", "0")
        assert "not a number: CSGM on Faces, SR ×4 divided by IAGAN on Faces, SR ×4" in told["remark"]


def test_a_ratio_is_told_in_the_text_and_in_the_report(made_up: Any) -> None:
    slower(made_up, "sr-x4", "csgm", 1200.0)
    asked = {"metric": "seconds", "methods": [["csgm", "iagan"]], "compare": "ratio"}
    out = judged(made_up, claim(**asked, above=30.0))
    shown = r"1200 x on Faces, SR ×4\s*: CSGM 1800.0+ divided by IAGAN 1.50+"
    assert re.search(shown, out.with_name("claims.md").read_text())
    build([out.with_name("claims.json")], made_up.report, "snakemake")
    assert re.search(shown, Page(made_up.report).text)


def test_a_small_difference_is_shown_with_the_digits_that_it_has(made_up: Any) -> None:
    change(made_up, "sr-x4", "csgm", "ssim,0.5", "ssim,0.500001")
    told = entry(made_up, metric="ssim", below=0.0)
    assert (told["verdict"], told["number"]) == ("holds", "-5.0e-07")


def test_markdown_says_it_all_and_takes_nothing_for_markup(made_up: Any) -> None:
    out = judged(made_up, claim(), claim(name="worse", above=7.0))
    text = out.with_name("claims.md").read_text()
    assert "demo scale; drawn data: not comparable. 1 of 2 claims hold; 1 fail." in text
    assert r"- **holds**: “It is clearly \<better\>” (abstract)" in text
    assert "+6.00 (+6.00 to +6.00) on Faces, SR ×4: IAGAN 26.36 less CSGM 20.36." in text
    assert "Our reading: our choice" in text


def test_the_report_shows_verdicts_in_words_and_leads_to_what_made_them(made_up: Any) -> None:
    out = judged(made_up, claim(), claim(name="worse", above=7.0), claim(name="none", metric="lpips-alex"))
    made_up.render("table", "table", cases=["sr-x4"], methods=["csgm"], metrics=["psnr"])
    build([out.with_name("claims.json"), out.with_name("table.json")], made_up.report, "snakemake")
    page = Page(made_up.report)
    assert "1 of 3 claims hold; 1 fail, 1 not run." in page.text
    for word in ("holds", "fails", "not run"):
        assert f"{word} It is clearly <better> abstract" in page.text
    targets = [target for target in page.all("popovertarget") if target.endswith("sr-x4-iagan")]
    assert targets and set(targets) <= set(page.all("id"))
