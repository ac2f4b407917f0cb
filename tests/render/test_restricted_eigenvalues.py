"""The ratio that the convergence theorem bounds: which rows count, what is drawn, what is missing."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.colors import to_rgb

from reprior.errors import UserError
from reprior.machine.files import read_json
from reprior.planning.plugins import plugin
from reprior.render.report import build
from tests.render.conftest import MadeUp
from tests.render.test_report import Page

M = (10, 20, 50, 100, 200, 500)
GROUPS = {"random A": [f"random-{m}" for m in M], "designed A": [f"designed-{m}" for m in M]}
CASES = [*GROUPS["random A"], *GROUPS["designed A"]]
SPREAD = {"face-0": 1.0, "face-1": 1.5, "face-2": 1.2, "face-3": 1.1}
"""alpha of an image over the least, and the largest beta over that of an image."""


@pytest.fixture
def study(made_up: MadeUp) -> MadeUp:
    """A made-up study with beta / alpha = 1000/m for random A and a quarter of it, but at least 1, for designed A."""
    for kind, times in (("random", 1), ("designed", 4)):
        for m in M:
            made_up.add(f"{kind}-{m}", f"Digits, {kind} {m}", {"name": "gaussian", "measurements": m}, ["csgm"])
            constants(made_up, f"{kind}-{m}", 0.01, 0.01 * max(1000 / (times * m), 1.0))
    return made_up


def constants(study: MadeUp, case: str, alpha: float, beta: float) -> None:
    """Append both numbers of every row."""
    for batch in study.cases[case]["batches"]:
        with (study.folder / case / f"csgm/{batch}.csv").open("a") as file:
            for image in study.ids[study._span(batch)]:
                file.write(f"made-up,{case},csgm,{image},rec-alpha,{alpha * SPREAD[image]}\n")
                file.write(f"made-up,{case},csgm,{image},rec-beta,{beta / SPREAD[image]}\n")


def change(study: MadeUp, case: str, old: str, new: str) -> None:
    path = study.folder / case / "csgm/0000-0001.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def show(study: MadeUp, **settings: Any) -> dict[str, Any]:
    asked = {"cases": CASES, "groups": GROUPS, "methods": ["csgm"], "x": "measurements", "x_label": "m", **settings}
    out = study.render("restricted-eigenvalues", "eigenvalues", **asked)
    return read_json(out.with_name("eigenvalues.json"))["figure"]


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.lines}


def test_the_extremes_of_all_rows_count(study: MadeUp, figures: list[Any]) -> None:
    points = {point["case"]: point for point in show(study)["points"]}
    assert points["random-20"] == {
        **{"case": "random-20", "method": "csgm", "x": 20.0, "alpha": 0.01},
        **{"beta": pytest.approx(0.5), "ratio": pytest.approx(50)},
    }
    assert points["designed-500"]["ratio"] == pytest.approx(1)


def test_each_group_has_a_line_and_the_bound_is_dashed(study: MadeUp, figures: list[Any]) -> None:
    show(study)
    axes = figures[0][0].axes[0]
    drawn = lines(axes)
    assert list(drawn) == ["random A", "designed A", "theorem: β / α < 2"]
    assert list(drawn["random A"].get_xdata()) == list(M)
    assert list(drawn["random A"].get_ydata()) == pytest.approx([1000 / m for m in M])
    bound = drawn["theorem: β / α < 2"]
    assert list(bound.get_ydata()) == [2.0, 2.0] and bound.get_linestyle() == "--"
    assert sum(to_rgb(drawn["designed A"].get_color())) < sum(to_rgb(drawn["random A"].get_color()))
    assert (axes.get_title(), axes.get_xscale(), axes.get_ylabel()) == ("CSGM", "log", "β / α")
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(m) for m in M]


def test_the_note_says_on_which_side_the_truth_is(study: MadeUp, figures: list[Any]) -> None:
    show(study)
    assert "The true ratio is therefore at least the one shown: above 2 the theorem surely" in figures[0][1][0]


def test_gaps_are_named_once_and_a_panel_without_numbers_says_why(study: MadeUp, figures: list[Any]) -> None:
    study.cases["random-10"]["gap"] = "no weights"
    change(study, "random-20", "face-0,rec-alpha,0.01", "face-0,rec-alpha,0.0")
    change(study, "random-50", "face-0,rec-beta,0.2", "face-0,rec-beta,nan")
    gaps = show(study)["gaps"]
    assert list(lines(figures[0][0].axes[0])["random A"].get_xdata()) == [100, 200, 500]
    assert figures[0][1][1:] == gaps
    assert gaps == [
        "Digits, random 10: no weights",
        "Digits, random 20: rec-alpha is 0 and rec-beta is 0.5",
        "Digits, random 50: rec-alpha is nan and rec-beta is nan",
    ]


def test_a_method_without_these_numbers_is_said_so_in_its_panel(study: MadeUp, figures: list[Any]) -> None:
    for case in CASES:
        study.cases[case]["methods"]["iagan"] = study.cases[case]["methods"]["csgm"]
        for batch in study.cases[case]["batches"]:
            study._cell(case, "iagan", batch, 20.0, diverged=False)
    show(study, methods=["csgm", "iagan"])
    drawn, empty = figures[0][0].axes
    assert empty.texts[0].get_text() == "no numbers: rec-alpha was not computed" and not empty.axison
    assert drawn.axison and len(figures[0][1]) == 1


def test_no_text_is_smaller_than_is_legible_or_cut_off(study: MadeUp, figures: list[Any]) -> None:
    from matplotlib.text import Text

    show(study)
    figure = figures[0][0]
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 7
    for box in (text.get_window_extent() for text in figure.legends[0].get_texts()):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_a_group_of_other_cases_is_refused(study: MadeUp) -> None:
    with pytest.raises(UserError, match=r"eigenvalues: groups\.random A: `random-500` is not among `cases`"):
        show(study, cases=[case for case in CASES if case != "random-500"])


def test_the_report_lists_the_constants(study: MadeUp) -> None:
    show(study)
    build([study.folder / "eigenvalues.json"], study.report, "snakemake")
    page = Page(study.report)
    assert "Digits, random 20 random A 20 0.01 0.5 50" in page.text
    assert set(page.all("popovertarget")) <= set(page.all("id"))
    assert {path.suffix for path in study.folder.glob("eigenvalues.*")} == {".pdf", ".png", ".json"}


def test_the_planner_reads_the_settings() -> None:
    kind = plugin("artifact", "restricted-eigenvalues")
    settings = kind.settings(title="t", cases=CASES, groups=GROUPS, methods=["eigenvalues"]).model_dump()
    assert settings["x"] == "ratio"
    assert kind.constants["SUFFIXES"] == (".pdf", ".png") and kind.constants["READS"] == "metrics"
