"""Numbers per image in groups: where the dots are, what is missing, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.colors import to_rgb

from reprior.errors import UserError
from reprior.machine.files import read_json
from reprior.planning.plugins import plugin

FACES, BIRDS = ["faces-0.05", "faces-0.2"], ["birds-0.05", "birds-0.2"]
GROUPS = {"birds": BIRDS, "CelebA": FACES}


@pytest.fixture
def study(made_up: Any) -> Any:
    """A made-up study with α and β of IAGAN: those of birds lie one below those of faces."""
    for case, ratio, alpha in zip([*FACES, *BIRDS], [0.05, 0.2] * 2, [3.0, 2.0, 2.0, 1.0], strict=True):
        made_up.add(case, f"{case}!", {"name": "gaussian", "ratio": ratio}, ["csgm", "iagan"])
        for batch in made_up.cases[case]["batches"]:
            images = made_up.ids[made_up._span(batch)]
            rows = [f"made-up,{case},iagan,{i},alpha,{alpha + made_up.ids.index(i) / 8}\n" for i in images]
            rows += [f"made-up,{case},iagan,{i},beta,0.5\n" for i in images]
            with (made_up.folder / case / f"iagan/{batch}.csv").open("a") as file:
                file.writelines(rows)
    return made_up


def show(study: Any, **settings: Any) -> Any:
    asked = {"cases": [*FACES, *BIRDS], "groups": GROUPS, "methods": ["iagan"], **settings}
    out = study.render("coefficients", "coefficients", **asked)
    return read_json(out.with_name("coefficients.json"))["figure"]


def dots(axes: Any) -> list[Any]:
    """The lines that are dots, one per box."""
    return [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata())]


def test_each_image_is_a_dot_and_groups_stand_side_by_side_at_each_ratio(study: Any, figures: list[Any]) -> None:
    shown = show(study)
    alt = shown["alt"]
    alpha, beta = figures[0][0].axes
    assert [axes.get_title() for axes in (alpha, beta)] == ["IAGAN: α", "IAGAN: β"]
    assert [tick.get_text() for tick in alpha.get_xticklabels()] == ["0.05", "0.2"]
    faces_05, faces_20, birds_05, birds_20 = dots(alpha)
    assert list(faces_05.get_ydata()) == [3.0, 3.125, 3.25, 3.375]
    marked = [(mark["x"], mark["y"], mark["text"]) for mark in shown["marks"][:4]]
    texts = [f"CelebA: {number} at 0.05" for number in ("3", "3.12", "3.25", "3.38")]
    assert marked == list(zip(faces_05.get_xdata(), faces_05.get_ydata(), texts, strict=True))
    assert max(faces_05.get_xdata()) < 0 < min(birds_05.get_xdata())
    assert max(birds_05.get_xdata()) < 0.5 < min(faces_20.get_xdata())
    assert min(birds_20.get_xdata()) > 1
    assert len(set(dots(beta)[0].get_xdata())) == 4  # equal numbers do not hide each other
    assert "IAGAN: α: median CelebA 2.688, birds 1.688." in alt


def test_a_later_group_is_darker_and_has_another_marker(study: Any, figures: list[Any]) -> None:
    show(study)
    first, _, second, _ = dots(figures[0][0].axes[0])
    assert sum(to_rgb(second.get_color())) < sum(to_rgb(first.get_color()))
    assert first.get_marker() != second.get_marker()
    assert [text.get_text() for text in figures[0][0].legends[0].get_texts()] == ["CelebA", "birds"]


def test_gaps_are_named_once_and_a_panel_without_numbers_says_why(study: Any, figures: list[Any]) -> None:
    for case in BIRDS:
        study.cases[case]["gap"] = "no birds"
    gaps = show(study, methods=["csgm", "iagan"])["gaps"]
    without, _, alpha, _ = figures[0][0].axes
    assert without.texts[0].get_text() == "no numbers: alpha was not computed; no birds" and not without.axison
    assert len(dots(alpha)) == 2
    assert figures[0][1][1:] == ["birds: no birds"]
    assert "birds: no birds" in gaps and any("alpha was not computed" in gap for gap in gaps)


def test_what_is_not_finite_is_counted(study: Any, figures: list[Any]) -> None:
    for batch in study.cases[FACES[0]]["batches"]:
        path = study.folder / FACES[0] / f"iagan/{batch}.csv"
        path.write_text(
            path.read_text().replace("face-0,alpha,3.0", "face-0,alpha,nan").replace("beta,0.5", "beta,inf")
        )
    show(study)
    assert "not drawn: 5 numbers that are not finite" in figures[0][1]
    assert [len(dots(axes)) for axes in figures[0][0].axes] == [4, 3]


def test_no_text_is_smaller_than_is_legible_or_cut_off(study: Any, figures: list[Any]) -> None:
    from matplotlib.text import Text

    show(study)
    figure = figures[0][0]
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 7
    for box in (text.get_window_extent() for text in texts):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_equal_figures_are_equal_bytes(study: Any) -> None:
    made = []
    for _ in range(2):
        show(study)
        made.append([(study.folder / f"coefficients{suffix}").read_bytes() for suffix in (".pdf", ".png")])
    assert made[0] == made[1]
    assert {path.suffix for path in study.folder.glob("coefficients.*")} == {".pdf", ".png", ".json"}


def test_a_group_of_other_cases_is_refused(study: Any) -> None:
    with pytest.raises(UserError, match=r"coefficients: groups\.birds: `birds-0.2` is not among `cases`"):
        show(study, cases=[*FACES, BIRDS[0]])


def test_the_planner_reads_the_settings() -> None:
    kind = plugin("artifact", "coefficients")
    settings = kind.settings(title="t", cases=FACES, groups={"CelebA": FACES}, methods=["hybrid"])
    assert settings.model_dump()["metrics"] == ["alpha", "beta"]
    assert kind.constants["READS"] == "metrics"
