"""Error against cost: where the points are, which curves join them, what is named, missing or refused."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest

from reprior.errors import UserError
from reprior.machine.files import read_json
from reprior.metrics.averaging import bootstrap_interval
from reprior.planning.plugins import plugin
from reprior.render.artifact import render
from reprior.render.report import build
from tests.render.conftest import MadeUp
from tests.render.test_report import Page

CASES = ["cs", "inpainting"]
BUDGETS = {
    **{f"csgm-{steps}": (f"CSGM, {steps} steps", steps, steps / 100) for steps in (500, 1000, 2000)},
    **{f"csgm-{steps}-x10": (f"CSGM, 10 x {steps}", steps, steps / 10) for steps in (500, 1000, 2000)},
    "pgd-gan": ("PGD-GAN", 30, 12.0),
    "npgd": ("NPGD", 30, 0.3),
}
"""{method: (label, steps, seconds per image)}"""
CURVES = {
    "one start": ["csgm-500", "csgm-1000", "csgm-2000"],
    "10 starts": ["csgm-500-x10", "csgm-1000-x10", "csgm-2000-x10"],
    "PGD-GAN": ["pgd-gan"],
    "NPGD": ["npgd"],
}


@pytest.fixture
def study(made_up: MadeUp) -> MadeUp:
    """A made-up study in which more steps and starts give less error and take more time."""
    for case, level in zip(CASES, (20.0, 23.0), strict=True):
        made_up.add(case, f"Digits, {case}", {"name": "gaussian", "ratio": 0.1}, [])
        for method, (_, steps, seconds) in BUDGETS.items():
            settings = {"name": "csgm", "steps": steps, "restarts": 1, "label": "x"}
            made_up.cases[case]["methods"][method] = {"plugin": "csgm", "settings": settings}
            for batch in made_up.cases[case]["batches"]:
                made_up._cell(case, method, batch, level + 2 * math.log10(seconds), diverged=False)
            change(made_up, case, method, "seconds,1.5", f"seconds,{seconds}")
    return made_up


def change(study: MadeUp, case: str, method: str, old: str, new: str) -> None:
    for path in (study.folder / case / method).glob("*.csv"):
        path.write_text(re.sub(old, new, path.read_text()))


def show(study: MadeUp, **settings: Any) -> dict[str, Any]:
    asked = {"cases": CASES, "methods": list(BUDGETS), "curves": CURVES, **settings}
    labels = {"methods": {method: {"label": BUDGETS[method][0]} for method in asked["methods"]}}
    spec = study.spec("budget", "budget", **{**asked, "methods": []})
    spec["settings"]["methods"] = asked["methods"]
    out = study.folder / "budget"
    render(spec | labels, study.reported, out)
    return read_json(out.with_name("budget.json"))["figure"]


def curves(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_a_point_is_the_average_time_and_error_of_a_method(study: MadeUp, figures: list[Any]) -> None:
    points = {(p["case"], p["method"]): p for p in show(study)["points"]}
    assert len(points) == len(CASES) * len(BUDGETS)
    level = 20 + 2 * math.log10(0.3)
    errors = [10 ** (-(level + i) / 10) for i in range(4)]
    assert points["cs", "npgd"]["x"] == pytest.approx(0.3)
    assert points["cs", "npgd"]["y"] == pytest.approx(sum(errors) / 4)
    assert points["cs", "npgd"]["interval"] == pytest.approx(bootstrap_interval("mse", errors))


def test_a_line_joins_the_methods_of_a_curve_in_their_order(study: MadeUp, figures: list[Any]) -> None:
    backwards = {**CURVES, "one start": ["csgm-2000", "csgm-500", "csgm-1000"]}
    show(study, curves=backwards)
    figure = figures[0][0]
    assert [axes.get_title() for axes in figure.axes] == ["Digits, cs", "Digits, inpainting"]
    assert list(curves(figure.axes[0])["one start"].get_xdata()) == [20.0, 5.0, 10.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one start", "10 starts", "PGD-GAN", "NPGD"]
    assert len({line.get_color() for line in curves(figure.axes[0]).values()}) == len(CURVES)
    assert {(axes.get_xscale(), axes.get_yscale()) for axes in figure.axes} == {("log", "log")}


def test_a_bar_covers_the_interval(study: MadeUp, figures: list[Any]) -> None:
    point = show(study, methods=["npgd"], curves=None)["points"][0]
    axes = figures[0][0].axes[0]
    ((bottom, top),) = axes.collections[0].get_segments()
    assert [bottom[1], top[1]] == pytest.approx(point["interval"])
    assert list(curves(axes)) == ["NPGD"]
    assert figures[0][1][0].startswith("Point: average over images. Bar: the 95% bootstrap interval")


def test_a_setting_of_the_methods_is_an_axis_too(study: MadeUp, figures: list[Any]) -> None:
    methods = CURVES["one start"]
    show(study, methods=methods, curves={"CSGM": methods}, x="steps", x_label="iterations", log_x=False)
    axes = figures[0][0].axes[0]
    assert list(curves(axes)["CSGM"].get_xdata()) == [500, 1000, 2000]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("iterations", "linear")
    assert not axes.texts  # the axis says which is which


def test_a_short_logarithmic_axis_has_a_few_round_numbers_apart_from_each_other(
    study: MadeUp, figures: list[Any]
) -> None:
    show(study, methods=["csgm-500", "csgm-1000"], curves={})
    figure = figures[0][0]
    figure.draw_without_rendering()
    axes = figure.axes[0]
    shown = [text for text in axes.get_xticklabels() if axes.viewLim.x0 <= text.get_position()[0] <= axes.viewLim.x1]
    assert 2 <= len(shown) <= 5
    assert [float(text.get_text()) for text in shown] == pytest.approx([text.get_position()[0] for text in shown])
    boxes = [text.get_window_extent() for text in shown]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
    assert not len(axes.get_xticks(minor=True))


def test_a_logarithmic_axis_of_a_setting_has_its_values_as_ticks(study: MadeUp, figures: list[Any]) -> None:
    methods = CURVES["one start"]
    show(study, methods=methods, curves={"CSGM": methods}, x="steps")
    axes = figures[0][0].axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["500", "1000", "2000"]
    assert not len(axes.get_xticks(minor=True))


def test_names_hide_nothing(study: MadeUp, figures: list[Any]) -> None:
    show(study)
    figure = figures[0][0]
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert {"NPGD", "PGD-GAN", "CSGM, 500 steps", "CSGM, 10 x 2000"} <= {text.get_text() for text in axes.texts}
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        for box in boxes:
            assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            assert axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
            for line in axes.lines:
                assert not box.count_contains(axes.transData.transform(line.get_xydata()))


def test_names_of_equal_points_do_not_overlap(study: MadeUp, figures: list[Any]) -> None:
    for method in BUDGETS:
        change(study, "cs", method, f"seconds,{BUDGETS[method][2]}", "seconds,1.0")
        change(study, "cs", method, r"face-(\d),mse,.*", r"face-\1,mse,0.1\1")
    show(study, cases=["cs"])
    boxes = [text.get_window_extent() for text in figures[0][0].axes[0].texts]
    assert len(boxes) > 2
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_gaps_are_named_once_and_a_panel_without_points_says_why(study: MadeUp, figures: list[Any]) -> None:
    study.cases["inpainting"]["gap"] = "no mask"
    del study.cases["cs"]["methods"]["pgd-gan"]
    change(study, "cs", "csgm-500", "face-0,mse,.*", "face-0,mse,nan")
    change(study, "cs", "csgm-1000", "seconds,10.0", "seconds,0.0")
    gaps = show(study)["gaps"]
    drawn, empty = figures[0][0].axes
    assert empty.texts[0].get_text() == "no numbers: no mask" and not empty.axison
    assert list(curves(drawn)["one start"].get_xdata()) == [20.0]
    assert figures[0][1][1:] == [
        "Digits, cs, CSGM, 500 steps: mse is nan, which has no place on a log axis",
        "Digits, cs, CSGM, 1000 steps: seconds is 0, which has no place on a log axis",
        "Digits, cs, PGD-GAN: not part of this case",
    ]
    assert "Digits, inpainting: no mask" in gaps


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"curves": {"NPGD": ["npgd"]}}, "curves: the method `csgm-500` of `methods` is in none"),
        ({"curves": {**CURVES, "DIP": ["dip"]}}, r"curves\.DIP: `dip` is not among `methods`"),
        ({"curves": {**CURVES, "none": []}}, r"curves\.none: names no method"),
        (
            {"x": "lr"},
            "the method csgm-500 of case cs has no number `lr`; set `x` to `seconds`, `passes` or .*: steps, restarts",
        ),
        ({"x": "label"}, "has no number `label`"),
    ],
)
def test_what_cannot_be_drawn_is_refused(study: MadeUp, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"artifact budget: .*{message}"):
        show(study, **settings)


def test_the_report_lists_the_numbers(study: MadeUp) -> None:
    study.cases["inpainting"]["gap"] = "no mask"
    show(study)
    build([study.folder / "budget.json"], study.report, "snakemake")
    page = Page(study.report)
    assert "seconds per image" in page.text and "NPGD 0.3" in page.text
    targets = page.all("popovertarget")
    assert any(target.endswith("cs-npgd") for target in targets) and set(targets) <= set(page.all("id"))
    assert {path.suffix for path in study.folder.glob("budget.*")} == {".pdf", ".png", ".json"}


def test_the_planner_reads_the_settings() -> None:
    kind = plugin("artifact", "budget")
    settings = kind.settings(title="t", cases=CASES, methods=["npgd"]).model_dump()
    assert (settings["metric"], settings["x"], settings["log_x"], settings["curves"]) == ("mse", "seconds", True, None)
    assert kind.constants["SUFFIXES"] == (".pdf", ".png") and kind.constants["READS"] == "metrics"
